"""A cache of classified videos, by the digests of the video and of the model.

The cached outputs do not depend on the query: labels are ranked and frames are selected from them for each response.
So the query is not part of the key.
"""

import sys
from collections import OrderedDict
from dataclasses import dataclass, fields, replace

import numpy as np

from service.inference.model_call import ClipOutput
from service.prediction.pipeline import ClassifiedVideo
from service.video.clip import ClipTimes

# Memory of the Python objects of a clip and of a video, beside their arrays.
_CLIP_BYTES = 600
_VIDEO_BYTES = 2500


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Identifies the outputs of one model for one video."""

    video_sha256: str
    model_digest: str


class PredictionCache:
    """Least-recently-used cache of at most `max_bytes`; 0 disables it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[CacheKey, tuple[int, ClassifiedVideo]] = OrderedDict()
        self.num_bytes = 0
        self.num_hits = 0
        self.num_misses = 0

    def get(self, key: CacheKey) -> ClassifiedVideo | None:
        """Return the cached video, or None. Its timings are 0."""
        if not self._max_bytes:
            return None
        if key not in self._entries:
            self.num_misses += 1
            return None
        self.num_hits += 1
        self._entries.move_to_end(key)
        return self._entries[key][1]

    def put(self, key: CacheKey, video: ClassifiedVideo) -> None:
        """Store a video and remove the least recently used ones; a video larger than the cache is not stored."""
        stored = _without_timings(video)
        size = _num_bytes(stored)
        if size > self._max_bytes:
            return
        if key in self._entries:
            self.num_bytes -= self._entries.pop(key)[0]
        while self.num_bytes + size > self._max_bytes:
            self.num_bytes -= self._entries.popitem(last=False)[1][0]
        self._entries[key] = (size, stored)
        self.num_bytes += size


def _without_timings(video: ClassifiedVideo) -> ClassifiedVideo:
    return ClassifiedVideo(
        replace(video.decoded, decode_seconds=0.0),
        [
            replace(
                output,
                # A row is a view that would keep the outputs of the whole batch in memory.
                probabilities=output.probabilities.copy(),
                attention=output.attention.copy(),
                queue_seconds=0.0,
                model_seconds=0.0,
            )
            for output in video.outputs
        ],
    )


def _num_bytes(video: ClassifiedVideo) -> int:
    parts: list[ClipTimes | ClipOutput] = [*video.decoded.clips, *video.outputs]
    values = [getattr(part, field.name) for part in parts for field in fields(part)]
    arrays = sum(sys.getsizeof(value) for value in values if isinstance(value, np.ndarray))
    warnings = sum(sys.getsizeof(warning.message) for warning in video.decoded.report.warnings)
    return _VIDEO_BYTES + _CLIP_BYTES * len(video.outputs) + arrays + warnings
