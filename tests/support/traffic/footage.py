"""The videos that callers send: good ones, a long one, and hostile ones made by mutation."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from fuzz.decode import mutate, seed_videos
from tests.support.recordings import box
from tests.support.shared_data import shared_files
from tests.support.videos import audio_only, encode, moving, painted

_NO_VIDEOS = (".md", ".csv", ".txt")
# Uploads above the limit of the services under test are another caller's task.
_MAX_SHARED_BYTES = 4 << 20


@dataclass(frozen=True)
class Footage:
    """Videos as bytes: good ones by name, a long one, and the seeds and files of hostile ones."""

    good: dict[str, bytes]
    long: bytes
    mutated_seeds: list[bytes]
    hostile_files: list[Path]

    def hostile(self, seed: int) -> Iterator[bytes]:
        """Endless hostile uploads, reproducible by `seed`: mutated videos and shared hostile files in turn."""
        for number in count():
            rng = random.Random(f"{seed}/{number}")  # noqa: S311 - reproducible
            if self.hostile_files and number % 2:
                yield rng.choice(self.hostile_files).read_bytes()
            else:
                yield mutate(rng.choice(self.mutated_seeds), rng)


def make_footage(directory: Path, *, long_seconds: int = 60) -> Footage:
    """Encode the videos in `directory`, which is created."""
    directory.mkdir()
    good = [
        painted(directory / "ramp.mp4", range(0, 160, 10)),
        painted(directory / "dark.mp4", [8] * 16),
        painted(directory / "steps.mkv", range(0, 250, 5)),
        encode(directory / "moving.mp4", moving(24)),
        encode(directory / "moving.webm", moving(24, seed=1), codec="libvpx-vp9"),
    ]
    long = encode(directory / "long.mp4", moving(8 * long_seconds, 320, 240), options={"qp": "30"})
    seeds = seed_videos(directory / "seeds")
    return Footage(
        good={path.name: path.read_bytes() for path in good},
        long=long.read_bytes(),
        mutated_seeds=[*seeds, audio_only(directory / "audio.mp4").read_bytes()],
        hostile_files=[
            path
            for path in shared_files("hostile")
            if path.suffix not in _NO_VIDEOS and path.stat().st_size <= _MAX_SHARED_BYTES
        ],
    )


def with_nonce(video: bytes, nonce: int) -> bytes:
    """An MP4 video with other bytes and the same content: a `free` box holds `nonce`, so that no cache knows it."""
    return video + box(b"free", nonce.to_bytes(16))
