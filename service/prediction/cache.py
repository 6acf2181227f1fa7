"""Answers given before, by the bytes of the video and of the model: the same again, at once.

What is kept does not depend on the rest of the query: labels are ranked and frames are chosen anew from
it, as from a fresh answer. So the query is no part of the key.
"""

import sys
from collections import OrderedDict
from dataclasses import dataclass, fields, replace

import numpy as np

from service.inference.model_call import ClipOutput
from service.prediction.pipeline import ClassifiedVideo
from service.video.clip import ClipTimes

# What Python takes to hold a clip's or a video's numbers and words, beside its arrays.
_CLIP_BYTES = 600
_VIDEO_BYTES = 2500


@dataclass(frozen=True, slots=True)
class CacheKey:
    """The same key has the same answer."""

    video_sha256: str
    model_digest: str


class PredictionCache:
    """Holds the answers asked for last, in at most `max_bytes`; none where that is 0."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[CacheKey, tuple[int, ClassifiedVideo]] = OrderedDict()
        self.num_bytes = 0
        self.num_hits = 0
        self.num_misses = 0

    def get(self, key: CacheKey) -> ClassifiedVideo | None:
        """The answer kept for `key`, if there is one; its stages took no time."""
        if not self._max_bytes:
            return None
        if key not in self._kept:
            self.num_misses += 1
            return None
        self.num_hits += 1
        self._kept.move_to_end(key)
        return self._kept[key][1]

    def put(self, key: CacheKey, video: ClassifiedVideo) -> None:
        """Keep an answer, in the place of those that were not asked for the longest; not one larger than them all."""
        kept = _without_time(video)
        size = _num_bytes(kept)
        if size > self._max_bytes:
            return
        if key in self._kept:
            self.num_bytes -= self._kept.pop(key)[0]
        while self.num_bytes + size > self._max_bytes:
            self.num_bytes -= self._kept.popitem(last=False)[1][0]
        self._kept[key] = (size, kept)
        self.num_bytes += size


def _without_time(video: ClassifiedVideo) -> ClassifiedVideo:
    return ClassifiedVideo(
        replace(video.decoded, decode_seconds=0.0),
        [
            replace(
                answer,
                # Copies, because a row of a batch's answer keeps the whole batch's alive.
                probabilities=answer.probabilities.copy(),
                attention=answer.attention.copy(),
                queue_seconds=0.0,
                model_seconds=0.0,
            )
            for answer in video.outputs
        ],
    )


def _num_bytes(video: ClassifiedVideo) -> int:
    parts: list[ClipTimes | ClipOutput] = [*video.decoded.clips, *video.outputs]
    values = [getattr(part, field.name) for part in parts for field in fields(part)]
    arrays = sum(sys.getsizeof(value) for value in values if isinstance(value, np.ndarray))
    warnings = sum(sys.getsizeof(warning.message) for warning in video.decoded.report.warnings)
    return _VIDEO_BYTES + _CLIP_BYTES * len(video.outputs) + arrays + warnings
