"""The cache of predictions: its keys, its order of removal and its memory."""

import tracemalloc

import numpy as np

from service.inference.model_call import ClipOutput
from service.prediction.cache import CacheKey, PredictionCache
from service.prediction.pipeline import ClassifiedVideo, DecodedVideo
from service.video.clip import ClipTimes, DecodeReport, VideoFacts, VideoWarning
from service.video.quality import Appearance


def classified(num_clips: int = 1, num_frames: int = 16) -> ClassifiedVideo:
    """A classified video whose outputs are rows of larger arrays, as the batcher returns them."""
    facts = VideoFacts("mp4", "h264", 64, 48, 2.0, 8.0, False, 16, 16, False)  # noqa: FBT003
    report = DecodeReport(0, num_frames, 0, (VideoWarning("truncated_video", "cut " + "short" * num_clips),))
    probabilities, attention = np.ones((4, 2), np.float32), np.ones((4, num_frames), np.float32)
    clips = [
        ClipTimes(
            np.arange(num_frames, dtype=np.int64),
            np.arange(num_frames, dtype=np.float64) / 8,
            np.ones(num_frames, dtype=np.bool_),
            number + 0.5,
            number + 2.5,
        )
        for number in range(num_clips)
    ]
    outputs = [
        ClipOutput(probabilities[0], attention[0], 0.25 + number, 0.5 + number, 4) for number in range(num_clips)
    ]
    return ClassifiedVideo(DecodedVideo(facts, report, clips, 0.75, Appearance(100, 10)), outputs)


def key(number: int) -> CacheKey:
    """The key of video `number`."""
    return CacheKey(f"{number:064x}", "sha256:" + "0" * 64)


def test_a_cached_video_has_timings_of_zero() -> None:
    cache = PredictionCache(1 << 20)
    cache.put(key(1), classified())
    cached = cache.get(key(1))
    assert cached is not None
    assert cached.decoded.decode_seconds == cached.outputs[0].queue_seconds == cached.outputs[0].model_seconds == 0
    assert cached.outputs[0].attention.tolist() == [1.0] * 16
    assert cached.outputs[0].attention.base is None
    assert (cache.num_hits, cache.num_misses) == (1, 0)


def test_another_video_or_another_model_is_a_cache_miss() -> None:
    cache = PredictionCache(1 << 20)
    cache.put(key(1), classified())
    assert cache.get(key(2)) is None
    assert cache.get(CacheKey(key(1).video_sha256, "sha256:" + "1" * 64)) is None
    assert cache.num_misses == 2


def test_the_least_recently_used_video_is_removed_first() -> None:
    cache = PredictionCache(4 * 3600)
    for number in range(3):
        cache.put(key(number), classified())
    assert cache.get(key(0)) is not None
    cache.put(key(3), classified(num_clips=2))
    assert cache.get(key(0)) is not None
    assert cache.get(key(1)) is None


def test_a_cache_of_zero_bytes_stores_and_counts_nothing() -> None:
    cache = PredictionCache(0)
    cache.put(key(1), classified())
    assert cache.get(key(1)) is None
    assert (cache.num_bytes, cache.num_hits, cache.num_misses) == (0, 0, 0)


def test_a_video_larger_than_the_cache_removes_no_other() -> None:
    cache = PredictionCache(20_000)
    cache.put(key(1), classified())
    cache.put(key(2), classified(num_clips=100))
    assert cache.get(key(1)) is not None
    assert cache.get(key(2)) is None


def test_the_cache_uses_no_more_memory_than_its_limit() -> None:
    max_bytes = 1 << 20
    cache = PredictionCache(max_bytes)
    tracemalloc.start()
    try:
        for number in range(1500):
            cache.put(key(number), classified(num_clips=1 + number % 3))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cache.num_bytes <= max_bytes
    assert 0.5 * max_bytes < used <= max_bytes
