"""The cache of decoded clips on disk: one file a video, with raw pixels at the model's size and the video's facts.

A file's name is the digest of the video's bytes, the ClipSpec, the segment and the decoder version, so a change of
any of them misses the cache. Each clip can be read alone.
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

from model_training.atomic_files import TORN_FILE_ERRORS, atomic_path
from model_training.datasets.examples import Example
from model_training.datasets.segments import open_segment
from model_training.datasets.thumbnails import ThumbnailBuilder, VideoThumbnails
from model_training.errors import TrainingDataError
from service.video.clip import ClipSpec, VideoFacts
from service.video.decode import DECODER_VERSION

_FORMAT = "2"

_PARSING = Lock()
"""Serialises NumPy's header parsing: it parses Python code, and in CPython 3.11 two threads that do so at once
sometimes raise SystemError (CPython issue 106905). The pixels themselves are read in parallel."""


@dataclass(frozen=True, slots=True)
class CachedClip:
    """One clip of an example; its pixels stay on disk until `frames` reads them."""

    example: Example
    cache_file: Path
    index: int
    valid: NDArray[np.bool_]
    times_seconds: NDArray[np.float64]
    distillation_target: NDArray[np.float32] | None = None
    """The teacher's features of the clip's time span, float32 [D]; None without a teacher."""

    def frames(self) -> NDArray[np.uint8]:
        """Read the pixels uint8 [T, H, W, 3], RGB; invalid frames are zero."""
        with ZipFile(self.cache_file) as stored, stored.open(f"frames.{self.index}.npy") as file:
            with _PARSING:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            return np.frombuffer(bytearray(file.read()), dtype).reshape(shape)

    @property
    def is_in_event(self) -> NDArray[np.bool_]:
        """Bool [T]: which frames lie in the example's event; all False where the dataset names no event."""
        if self.example.event_seconds is None:
            return np.zeros_like(self.valid)
        start, end = self.example.event_seconds
        return self.valid & (self.times_seconds >= start) & (self.times_seconds < end)


@dataclass(frozen=True, slots=True)
class DecodedVideo:
    """An example whose clips are in the cache; `warnings` are the decoder's warnings of damage."""

    example: Example
    file_sha256: str
    size_bytes: int
    facts: VideoFacts
    warnings: tuple[str, ...]
    thumbnails: VideoThumbnails
    clips: tuple[CachedClip, ...]


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """The cache file of one example, whether or not it exists yet."""

    example: Example
    file_sha256: str
    size_bytes: int
    cache_file: Path


def file_digests(examples: Sequence[Example]) -> dict[Path, tuple[str, int]]:
    """SHA-256 and size in bytes of each file; a file that several segments share is read once.

    Raises:
        TrainingDataError: a file cannot be read; the message names its first example.
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


def cache_entry(
    example: Example, digest_and_size: tuple[str, int], spec: ClipSpec, cache_directory: Path
) -> CacheEntry:
    """The cache entry of an example; `digest_and_size` come from `file_digests`."""
    digest, size_bytes = digest_and_size
    parts = (digest, spec.model_dump_json(), DECODER_VERSION, str(example.segment_seconds), _FORMAT)
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return CacheEntry(example, digest, size_bytes, cache_directory / f"{name}.npz")


def read_cached(key: CacheEntry) -> DecodedVideo | None:
    """The decoded video of `key`; None if its file is absent or incomplete."""
    try:
        with _PARSING, key.cache_file.open("rb") as file, np.load(file) as stored:
            about = json.loads(str(stored["about"]))
            valid, times = stored["valid"], stored["times_seconds"]
            thumbnails = VideoThumbnails(stored["thumbnails"], stored["mean_frame"])
            is_whole = all(f"frames.{index}" in stored.files for index in range(len(valid)))
    except TORN_FILE_ERRORS:
        return None
    if not is_whole:
        return None
    return DecodedVideo(
        example=key.example,
        file_sha256=key.file_sha256,
        size_bytes=key.size_bytes,
        facts=VideoFacts(**about["facts"]),
        warnings=tuple(about["warnings"]),
        thumbnails=thumbnails,
        clips=tuple(
            CachedClip(key.example, key.cache_file, index, valid[index], times[index]) for index in range(len(valid))
        ),
    )


def decode_into_cache(key: CacheEntry, spec: ClipSpec) -> None:
    """Decode an example and write its clips to its cache file, atomically.

    Raises:
        VideoError: the video cannot be decoded, or its segment starts past its end.
        TrainingDataError: the clips cannot be written.
    """
    try:
        with atomic_path(key.cache_file) as partial:
            _write(partial, key.example, spec)
    except OSError as error:
        raise TrainingDataError(
            f"{key.cache_file.parent}: cannot write decoded clips: {error.strerror}; finished clips are kept: free"
            " some space, or choose another folder with --runs, and run the same command again"
        ) from error


def _write(partial: Path, example: Example, spec: ClipSpec) -> None:
    builder, valid, times = ThumbnailBuilder(), [], []
    with open_segment(example.path, spec, example.segment_seconds) as (video, clips), ZipFile(partial, "w") as archive:
        for index, clip in enumerate(clips):
            _add(archive, f"frames.{index}", clip.frames)
            valid.append(clip.times.valid)
            times.append(clip.times.times_seconds)
            builder.add(clip)
        thumbnails = builder.build()
        about = {"facts": asdict(video.facts), "warnings": [warning.message for warning in video.report().warnings]}
        _add(archive, "valid", np.stack(valid))
        _add(archive, "times_seconds", np.stack(times))
        _add(archive, "thumbnails", thumbnails.grey)
        _add(archive, "mean_frame", thumbnails.mean_frame)
        _add(archive, "about", np.array(json.dumps(about)))


def _add(archive: ZipFile, name: str, array: NDArray[Any]) -> None:
    """Append one array as `np.savez` does, so that only one clip at a time is in memory."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        write_array(member, array, allow_pickle=False)
