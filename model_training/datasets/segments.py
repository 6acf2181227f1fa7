"""The video of an example, all of it or the segment that is meant: what was decoded to train can be measured too.

Knows nothing of what the clips are for.
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
"""A segment may lie in hours of video: only its own frames are held."""


class SegmentPastEnd(VideoError):
    """The video ends before the segment that is meant begins."""


@contextmanager
def open_segment(
    path: Path, spec: ClipSpec, segment_seconds: Segment | None
) -> Iterator[tuple[OpenVideo, Iterator[Clip]]]:
    """Open the video in `path`: it, and the clips of the segment that is meant, or, with None, of all of it.

    Raises:
        SegmentPastEnd: there is nothing of the segment.
        VideoError: the video cannot be used.
    """
    with open_video(path, _LIMITS if segment_seconds is None else _SEGMENT_LIMITS) as video:
        duration_seconds = video.facts.duration_seconds
        if segment_seconds is not None and segment_seconds[0] >= duration_seconds:
            raise SegmentPastEnd(f"the video ends at {duration_seconds:g} s")
        yield video, video.clips(spec, video.plan(spec, segment_seconds))
