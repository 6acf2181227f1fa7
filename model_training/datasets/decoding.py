"""Decodes examples into the clip cache, with the decoder that serving uses (`service.video`)."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from model_training.datasets.clip_cache import (
    CacheEntry,
    DecodedVideo,
    cache_entry,
    decode_into_cache,
    file_digests,
    read_cached,
)
from model_training.datasets.examples import Example
from model_training.errors import TrainingDataError
from model_training.processes import submit_all, worker_processes
from service.video.clip import ClipSpec
from service.video.errors import VideoError


@dataclass(frozen=True, slots=True)
class UnreadableExample:
    """An example that cannot be decoded, and why."""

    example: Example
    reason: str


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """The decoded and the unreadable examples, each in the order given."""

    videos: tuple[DecodedVideo, ...]
    unreadable: tuple[UnreadableExample, ...]


def decode_examples(
    examples: Sequence[Example],
    spec: ClipSpec,
    cache_directory: Path,
    on_video: Callable[[], None] = lambda: None,
) -> DecodeResult:
    """Decode the examples that are not in the cache yet, in worker processes on all cores.

    A video that crashes its worker is reported as unreadable. Calls `on_video` after each video.

    Raises:
        TrainingDataError: a file is missing, or the disk is full.
    """
    cache_directory.mkdir(parents=True, exist_ok=True)
    digests = file_digests(examples)
    keys = [cache_entry(example, digests[example.path], spec, cache_directory) for example in examples]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        stored = list(pool.map(read_cached, keys))
    # Copies of a file share one cache file: it is decoded once.
    missing = {key.cache_file: key for key, video in zip(keys, stored, strict=True) if video is None}
    for _ in range(len(keys) - len(missing)):
        on_video()
    reasons = dict(_decode_all(list(missing.values()), spec, on_video))
    videos, unreadable = [], []
    for key, early in zip(keys, stored, strict=True):
        video = early or read_cached(key)
        if video is not None:
            videos.append(video)
        else:
            reason = reasons.get(key.cache_file) or "its decoded clips were removed from the cache"
            unreadable.append(UnreadableExample(key.example, reason))
    return DecodeResult(tuple(videos), tuple(unreadable))


def readable_videos(decoding: DecodeResult, *, skip_unreadable: bool) -> tuple[DecodedVideo, ...]:
    """The decoded videos; unreadable ones are an error unless they are to be skipped.

    Raises:
        TrainingDataError: a video is unreadable and `skip_unreadable` is False; the message names the first.
    """
    if decoding.unreadable and not skip_unreadable:
        first, more = decoding.unreadable[0], len(decoding.unreadable) - 1
        others = f", and {more} more" if more else ""
        raise TrainingDataError(
            f"{first.example.listed}: {first.reason}{others} (validate-data lists them; --skip-unreadable leaves"
            " them out)"
        )
    return decoding.videos


def _decode_all(
    keys: Sequence[CacheEntry], spec: ClipSpec, on_video: Callable[[], None]
) -> Iterator[tuple[Path, str | None]]:
    """Decode in parallel; yield each cache file with None, or with the reason why decoding failed."""
    if not keys:
        return
    suspects: list[CacheEntry] = []
    with worker_processes(min(os.cpu_count() or 1, len(keys)), __name__) as pool:
        try:
            jobs = dict(zip(submit_all(pool, _decode, [(key, spec) for key in keys]), keys, strict=True))
        except BrokenProcessPool:
            # The pool broke before all videos were submitted.
            jobs, suspects = {}, list(keys)
        for job in as_completed(jobs):
            try:
                yield jobs[job].cache_file, job.result()
                on_video()
            except BrokenProcessPool:
                suspects.append(jobs[job])
    # One of the suspects crashed the shared pool: decode each in a process of its own.
    for key in suspects:
        with worker_processes(1, __name__) as pool:
            try:
                yield key.cache_file, submit_all(pool, _decode, [(key, spec)])[0].result()
            except BrokenProcessPool:
                yield key.cache_file, "The decoder crashed on it."
        on_video()


def _decode(key: CacheEntry, spec: ClipSpec) -> str | None:
    """Decode one video in a worker process; return the reason if that fails."""
    try:
        decode_into_cache(key, spec)
    except VideoError as error:
        return str(error)
    return None
