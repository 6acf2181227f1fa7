"""Examples -> decoded clips, through `service.video` as serving does, kept on disk for the next epoch."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from model_training.datasets.clip_cache import (
    DecodedVideo,
    StoreKey,
    decode_and_store,
    file_digests,
    read_stored,
    store_key,
)
from model_training.datasets.examples import Example
from model_training.errors import TrainingDataError
from model_training.processes import submitted, worker_processes
from service.video.clip import ClipSpec
from service.video.errors import VideoError


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An example that cannot be decoded, and why."""

    example: Example
    reason: str


@dataclass(frozen=True, slots=True)
class Decoding:
    """What became of the examples, each in one of the two, in their order."""

    videos: tuple[DecodedVideo, ...]
    unreadable: tuple[Unreadable, ...]


def decode_examples(
    examples: Sequence[Example],
    spec: ClipSpec,
    cache_directory: Path,
    on_video: Callable[[], None] = lambda: None,
) -> Decoding:
    """Decode the examples that are not on disk yet, on every core, each in a process that may die of it.

    Calls `on_video` as each is done.

    Raises:
        TrainingDataError: a file is missing, or the disk is full.
    """
    cache_directory.mkdir(parents=True, exist_ok=True)
    digests = file_digests(examples)
    keys = [store_key(example, digests[example.path], spec, cache_directory) for example in examples]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        stored = list(pool.map(read_stored, keys))
    # Segments and copies share a file: it is decoded once.
    missing = {key.cache_file: key for key, video in zip(keys, stored, strict=True) if video is None}
    for _ in range(len(keys) - len(missing)):
        on_video()
    reasons = dict(_decode_all(list(missing.values()), spec, on_video))
    videos, unreadable = [], []
    for key, early in zip(keys, stored, strict=True):
        video = early or read_stored(key)
        if video is not None:
            videos.append(video)
        else:
            reason = reasons.get(key.cache_file) or "its decoded clips are gone from the cache"
            unreadable.append(Unreadable(key.example, reason))
    return Decoding(tuple(videos), tuple(unreadable))


def readable_videos(decoding: Decoding, *, skip_unreadable: bool) -> tuple[DecodedVideo, ...]:
    """The videos to go on with.

    Raises:
        TrainingDataError: some cannot be read, and were not to be skipped; the message names the first.
    """
    if decoding.unreadable and not skip_unreadable:
        first, more = decoding.unreadable[0], len(decoding.unreadable) - 1
        others = f", and {more} more" if more else ""
        raise TrainingDataError(
            f"{first.example.listed}: {first.reason}{others} (validate-data lists them; leave such videos out with"
            " --skip-unreadable)"
        )
    return decoding.videos


def _decode_all(
    keys: Sequence[StoreKey], spec: ClipSpec, on_video: Callable[[], None]
) -> Iterator[tuple[Path, str | None]]:
    """Yield each key's file, and the reason if it could not be decoded."""
    if not keys:
        return
    suspects: list[StoreKey] = []
    with worker_processes(min(os.cpu_count() or 1, len(keys)), __name__) as pool:
        try:
            jobs = dict(zip(submitted(pool, _decode, [(key, spec) for key in keys]), keys, strict=True))
        except BrokenProcessPool:
            # So early that not all were handed over.
            jobs, suspects = {}, list(keys)
        for job in as_completed(jobs):
            try:
                yield jobs[job].cache_file, job.result()
                on_video()
            except BrokenProcessPool:
                suspects.append(jobs[job])
    # One of them took the others down with it: each now gets a process of its own.
    for key in suspects:
        with worker_processes(1, __name__) as pool:
            try:
                yield key.cache_file, submitted(pool, _decode, [(key, spec)])[0].result()
            except BrokenProcessPool:
                yield key.cache_file, "The decoder crashed on it."
        on_video()


def _decode(key: StoreKey, spec: ClipSpec) -> str | None:
    """Decode in a process of the pool; the reason if the video cannot be used."""
    try:
        decode_and_store(key, spec)
    except VideoError as error:
        return str(error)
    return None
