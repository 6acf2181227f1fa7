"""Duration and packet count as claimed by a file's header, to compare with the packets in the file."""

import re

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from service.video.containers.track import OpenedTrack, is_avi, is_matroska
from service.video.timeline import Timeline

_ESTIMATED = frozenset({"mpeg", "mpegts"})
"""Containers whose duration FFmpeg only estimates, from the first and last timestamp."""


def claimed_end_seconds(track: OpenedTrack, timeline: Timeline) -> float | None:
    """Claimed duration of the video track from its first shown frame; None if the header does not state it."""
    end_seconds = _end_seconds(track.container, track.stream)
    if end_seconds is None:
        return None
    # Headers count from time zero of the file, or from its first picture.
    return end_seconds - max(timeline.start_seconds, timeline.seconds_never_shown, 0.0)


def _end_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if container.format.name in _ESTIMATED:
        return None
    if is_matroska(container):
        return _matroska_end_seconds(container, stream)
    if container.format.name == "asf" and len(container.streams) > 1:
        # The header states the duration of the longest track, which may not be the video.
        return None
    if is_avi(container) and stream.frames and stream.time_base is not None:
        # The count includes the empty pictures written where nothing moves; each takes one frame time.
        return float(stream.frames * stream.time_base)
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration is not None and len(container.streams) == 1 else None


def _matroska_end_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """Claimed end of the video track, from time zero of the file."""
    # Some writers state the duration of each track as a tag, "00:00:02.500000000". The duration of the file is that of
    # the video track only if it is the only track.
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    return container.duration / av.time_base if container.duration is not None and len(container.streams) == 1 else None


def claimed_num_packets(container: InputContainer, stream: VideoStream) -> int | None:
    """Number of video packets claimed by index or header; None if they do not state it."""
    if container.format.name.startswith("mov"):
        return len(stream.index_entries)
    return None if is_avi(container) else stream.frames or None
