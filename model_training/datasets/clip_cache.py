"""One video's decoded clips on disk: raw pixels at the model's size, and what is known of the video.

A file's name is the digest of the video's bytes, the ClipSpec, the segment and the decoder, so whatever
changes, old pixels are never taken for new ones. Each clip can be read alone.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.lib.format import write_array
from numpy.typing import NDArray

from model_training.atomic_files import TORN, replacing
from model_training.datasets.examples import Example
from model_training.datasets.segments import open_segment
from model_training.datasets.thumbnails import Look, LookBuilder
from model_training.errors import TrainingDataError
from service.video.clip import ClipSpec, VideoFacts
from service.video.decode import DECODER_VERSION

_FORMAT = "2"

_PARSING = Lock()
"""NumPy parses the header of an array as Python, which CPython 3.11 cannot do in two threads at once without now and
then a SystemError (its issue 106905). The pixels are read side by side all the same."""


@dataclass(frozen=True, slots=True)
class CachedClip:
    """One clip of an example, its pixels on disk."""

    example: Example
    cache_file: Path
    index: int
    valid: NDArray[np.bool_]
    times_seconds: NDArray[np.float64]
    lesson: NDArray[np.float32] | None = None
    """What a teacher makes of what is to be seen here, float32 [D]; None without a teacher."""

    def frames(self) -> NDArray[np.uint8]:
        """The pixels uint8 [T, H, W, 3], zero where not valid."""
        with ZipFile(self.cache_file) as stored, stored.open(f"frames.{self.index}.npy") as file:
            with _PARSING:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            return np.frombuffer(bytearray(file.read()), dtype).reshape(shape)

    @property
    def is_in_event(self) -> NDArray[np.bool_]:
        """Which frames [T] lie in the example's event; none where the dataset does not say."""
        if self.example.event_seconds is None:
            return np.zeros_like(self.valid)
        start, end = self.example.event_seconds
        return self.valid & (self.times_seconds >= start) & (self.times_seconds < end)


@dataclass(frozen=True, slots=True)
class DecodedVideo:
    """An example whose clips are on disk; `warnings` say what was wrong with it all the same."""

    example: Example
    file_sha256: str
    size_bytes: int
    facts: VideoFacts
    warnings: tuple[str, ...]
    look: Look
    clips: tuple[CachedClip, ...]


@dataclass(frozen=True, slots=True)
class StoreKey:
    """Where the clips of one example lie, or will."""

    example: Example
    file_sha256: str
    size_bytes: int
    cache_file: Path


def file_digests(examples: Sequence[Example]) -> dict[Path, tuple[str, int]]:
    """SHA-256 and size in bytes of each file; segments share one, which may be hours long and is read once.

    Raises:
        TrainingDataError: a file cannot be read; the message names the first example of it.
    """
    of_path = {example.path: example for example in reversed(examples)}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(of_path, pool.map(_file_digest, of_path.values()), strict=True))


def _file_digest(example: Example) -> tuple[str, int]:
    try:
        with example.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except OSError as error:
        raise TrainingDataError(f"{example.listed}: {error.strerror}") from error


def store_key(example: Example, digest_and_size: tuple[str, int], spec: ClipSpec, cache_directory: Path) -> StoreKey:
    """The key of an example whose file is this one."""
    digest, size_bytes = digest_and_size
    parts = (digest, spec.model_dump_json(), DECODER_VERSION, str(example.segment_seconds), _FORMAT)
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return StoreKey(example, digest, size_bytes, cache_directory / f"{name}.npz")


def read_stored(key: StoreKey) -> DecodedVideo | None:
    """What is on disk for `key`; None if nothing is, or a torn file."""
    try:
        with _PARSING, key.cache_file.open("rb") as file, np.load(file) as stored:
            about = json.loads(str(stored["about"]))
            valid, times = stored["valid"], stored["times_seconds"]
            look = Look(stored["thumbnails"], stored["mean_frame"])
            is_whole = all(f"frames.{index}" in stored.files for index in range(len(valid)))
    except TORN:
        return None
    if not is_whole:
        return None
    return DecodedVideo(
        example=key.example,
        file_sha256=key.file_sha256,
        size_bytes=key.size_bytes,
        facts=VideoFacts(**about["facts"]),
        warnings=tuple(about["warnings"]),
        look=look,
        clips=tuple(
            CachedClip(key.example, key.cache_file, index, valid[index], times[index]) for index in range(len(valid))
        ),
    )


def decode_and_store(key: StoreKey, spec: ClipSpec) -> None:
    """Decode an example and put its clips in its file, which appears whole or not at all.

    Raises:
        VideoError: the video cannot be used, or its segment lies past its end.
        TrainingDataError: the clips cannot be written.
    """
    try:
        with replacing(key.cache_file) as partial:
            _write(partial, key.example, spec)
    except OSError as error:
        raise TrainingDataError(
            f"{key.cache_file.parent}: cannot keep decoded clips: {error.strerror}; what is there is kept: free some"
            " space, or name another place with --runs, and give the same command again"
        ) from error


def _write(partial: Path, example: Example, spec: ClipSpec) -> None:
    builder, valid, times = LookBuilder(), [], []
    with open_segment(example.path, spec, example.segment_seconds) as (video, clips), ZipFile(partial, "w") as archive:
        for index, clip in enumerate(clips):
            _add(archive, f"frames.{index}", clip.frames)
            valid.append(clip.times.valid)
            times.append(clip.times.times_seconds)
            builder.watch(clip)
        look = builder.look()
        about = {"facts": asdict(video.facts), "warnings": [warning.message for warning in video.report().warnings]}
        _add(archive, "valid", np.stack(valid))
        _add(archive, "times_seconds", np.stack(times))
        _add(archive, "thumbnails", look.thumbnails)
        _add(archive, "mean_frame", look.mean_frame)
        _add(archive, "about", np.array(json.dumps(about)))


def _add(archive: ZipFile, name: str, array: NDArray[Any]) -> None:
    """As `np.savez` does, but one array at a time, so that one clip at a time is in memory."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        write_array(member, array, allow_pickle=False)
