"""Any bytes give clips or a `VideoError`, and nothing else; what is given is whole, in order, and the same by threads.

    python -m fuzz.decode --seconds 20 [--seed 0]

With atheris installed its coverage guides the mutations; without, a seeded loop mutates videos made
on the spot, and a failure prints the seed and number that bring it back. It decodes in this very
process: a crash ends it, and the last input lies in the file that it names at its start.
"""

import argparse
import importlib
import importlib.util
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from service.video.clip import Clip, ClipSpec, DecodeLimits
from service.video.decode import open_video
from service.video.errors import VideoError
from tests.videos import encode, moving

SPEC = ClipSpec(num_frames=4, height=16, width=16, frames_per_second=4, stride_seconds=1)
LIMITS = DecodeLimits(max_pixels_per_frame=256 * 256, max_duration_seconds=30, max_packets=500)
SEEDS = (
    *(("mp4", "libx264"), ("mkv", "libx264"), ("ts", "libx264"), ("avi", "mpeg4"), ("flv", "libx264")),
    *(("webm", "libvpx"), ("webm", "libvpx-vp9"), ("mp4", "libx265"), ("mpg", "mpeg2video"), ("mp4", "libsvtav1")),
)


def obeys_the_law(path: Path) -> bool:
    """Decode `path`; true if it gave clips, false if a `VideoError`. Raises for anything else."""
    clips, by_threads = (_decoded(path, num_threads) for num_threads in (1, 3))
    if [clip.frames.tobytes() for clip in by_threads] != [clip.frames.tobytes() for clip in clips]:
        raise AssertionError("other clips by three threads than by one")
    for clip in clips:
        if clip.frames.shape != (SPEC.num_frames, SPEC.height, SPEC.width, 3) or not clip.times.valid[0]:
            raise AssertionError("a clip that is not whole")
        if np.any(np.diff(clip.times.times_seconds) < 0) or not np.all(np.isfinite(clip.times.times_seconds)):
            raise AssertionError("times that are not in order")
    return bool(clips)


def _decoded(path: Path, num_threads: int) -> list[Clip]:
    """The clips; none for a `VideoError`."""
    try:
        with open_video(path, LIMITS, num_threads) as video:
            clips = list(video.clips(SPEC, video.plan(SPEC)))
            video.report()
    except VideoError:
        return []
    if not clips:
        raise AssertionError("no clip and no error")
    return clips


def seed_videos(directory: Path) -> list[bytes]:
    """Small videos of many kinds."""
    directory.mkdir()
    return [
        encode(directory / f"{number}.{suffix}", moving(10, 32, 32), codec=codec).read_bytes()
        for number, (suffix, codec) in enumerate(SEEDS)
    ]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """`content` with bytes changed, cut out, doubled or cut off."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 10, 50))):
        start = rng.randrange(len(damaged))
        length = min(rng.choice((1, 4, 32, 500)), len(damaged) - start)
        match rng.randrange(5):
            case 0 | 1:
                damaged[start] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                damaged[start : start + length] = rng.randbytes(length)
            case 3 if len(damaged) > 2 * length:
                del damaged[start : start + length]
            case _:
                damaged[start:start] = damaged[start : start + length]
    return bytes(damaged[: rng.randrange(1, len(damaged))] if rng.random() < 1 / 8 else damaged)


def loop(seconds: float, seed: int, directory: Path) -> None:
    """Mutate and decode until `seconds` are over."""
    videos = seed_videos(directory / "seeds")
    path = directory / "input"
    ends_at = time.monotonic() + seconds
    number = num_decoded = 0
    while time.monotonic() < ends_at:
        rng = random.Random(f"{seed}/{number}")  # noqa: S311
        path.write_bytes(mutated(rng.choice(videos), rng))
        try:
            num_decoded += obeys_the_law(path)
        except BaseException:
            sys.stderr.write(f"broken by --seed {seed}, input {number}: {path}\n")
            raise
        number += 1
    sys.stdout.write(f"{number} inputs, {num_decoded} gave clips, the others a VideoError\n")


def guided(seconds: float, directory: Path) -> None:
    """The same by atheris, which keeps what reaches new code."""
    atheris = importlib.import_module("atheris")
    seed_videos(directory / "seeds")
    path = directory / "input"

    def one(content: bytes) -> None:
        path.write_bytes(content)
        obeys_the_law(path)

    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", str(directory / "seeds")], one)
    atheris.Fuzz()


def main() -> None:
    """Run for the seconds asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="fuzz-"))
    sys.stdout.write(f"inputs are written to {directory / 'input'}\n")
    if importlib.util.find_spec("atheris"):
        guided(arguments.seconds, directory)
    else:
        loop(arguments.seconds, arguments.seed, directory)


if __name__ == "__main__":
    main()
