"""Opens the video of an example: all of it, or one segment.

Training and evaluation both open videos here, so they see the same clips.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.video.clip import Clip, ClipSpec, DecodeLimits
from service.video.decode import OpenVideo, open_video
from service.video.errors import VideoError

Segment = tuple[float, float]
"""The half-open part `[start, end)` of a video, in seconds from its start."""

_LIMITS = DecodeLimits()
_SEGMENT_LIMITS = _LIMITS.times(36)
"""Higher limits: a segment may lie in hours of video, and only its own frames are held in memory."""


class SegmentPastEnd(VideoError):
    """The video ends before the segment starts."""


@contextmanager
def open_segment(
    path: Path, spec: ClipSpec, segment_seconds: Segment | None
) -> Iterator[tuple[OpenVideo, Iterator[Clip]]]:
    """Open the video in `path` and plan the clips of the segment; None means the whole video.

    Raises:
        SegmentPastEnd: the segment starts after the end of the video.
        VideoError: the video cannot be decoded.
    """
    with open_video(path, _LIMITS if segment_seconds is None else _SEGMENT_LIMITS) as video:
        duration_seconds = video.facts.duration_seconds
        if segment_seconds is not None and segment_seconds[0] >= duration_seconds:
            raise SegmentPastEnd(f"the video ends at {duration_seconds:g} s")
        yield video, video.clips(spec, video.plan(spec, segment_seconds))
