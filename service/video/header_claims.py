"""The length of a video by its header, to compare with the length that its packets show."""

import re

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from service.video.containers.track import OpenedTrack, is_avi, is_matroska
from service.video.timeline import Timeline

_ESTIMATED = frozenset({"mpeg", "mpegts"})
"""FFmpeg estimates the length of these files from their first and last timestamps."""


def claimed_end_seconds(track: OpenedTrack, timeline: Timeline) -> float | None:
    """How long the picture track lasts by its header, from its first frame, or None where the header does not say."""
    end_seconds = _end_seconds(track.container, track.stream)
    if end_seconds is None:
        return None
    # Headers count from the file's zero, or from the first picture in it.
    return end_seconds - max(timeline.start_seconds, timeline.seconds_never_shown, 0.0)


def _end_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if container.format.name in _ESTIMATED:
        return None
    if is_matroska(container):
        return _matroska_end_seconds(container, stream)
    if container.format.name == "asf" and len(container.streams) > 1:
        # The length of the file, whichever of its tracks is the longest.
        return None
    if is_avi(container) and stream.frames and stream.time_base is not None:
        # Its count holds the empty pictures that stand where nothing moves; each has a place in time.
        return float(stream.frames * stream.time_base)
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration is not None and len(container.streams) == 1 else None


def _matroska_end_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """When the picture track ends by its header, from the file's zero."""
    # The whole file's length is the picture track's only if that is alone; some writers add each track's own as a
    # tag, "00:00:02.500000000".
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    return container.duration / av.time_base if container.duration is not None and len(container.streams) == 1 else None


def claimed_num_packets(container: InputContainer, stream: VideoStream) -> int | None:
    """How many packets index or header promise of the picture track, or None where they do not say."""
    if container.format.name.startswith("mov"):
        return len(stream.index_entries)
    return None if is_avi(container) else stream.frames or None
