"""Warnings about a decoded file: its length, damage, timestamps, colours and tracks."""

from collections.abc import Iterator

from service.video.clip import VideoWarning
from service.video.containers.track import OpenedTrack
from service.video.header_claims import claimed_end_seconds
from service.video.timeline import Timeline

_MAX_FRACTION_DROPPED = 0.05
"""Cameras that write AVI omit pictures while nothing moves, but count them."""

ASSUMED_COLOURS = VideoWarning(
    "assumed_colours",
    "The video names a colour matrix that is not supported. The usual matrix for its size was assumed.",
)


def length_warnings(track: OpenedTrack, timeline: Timeline, num_packets_claimed: int | None) -> Iterator[VideoWarning]:
    """Yield `truncated_video` if the file is shorter than its header states."""
    num_read = len(timeline.packet_order)
    # After a clock break, the claims of header and demuxer apply only to a part of the file.
    is_clock_steady = not timeline.num_clock_restarts + timeline.num_clock_leaps
    claimed = claimed_end_seconds(track, timeline) if is_clock_steady else None
    seconds = timeline.duration_seconds
    if claimed is not None and claimed - seconds > timeline.slack_seconds:
        yield VideoWarning(
            "truncated_video",
            f"The header states {claimed:.2f} s, but the file holds {seconds:.2f} s. It is probably truncated.",
        )
    elif num_packets_claimed is not None and num_packets_claimed - num_read > (
        _MAX_FRACTION_DROPPED * num_packets_claimed
    ):
        yield VideoWarning(
            "truncated_video",
            f"The header states {num_packets_claimed} pictures, but the file holds {num_read}. "
            "It is probably truncated.",
        )


def damage_warnings(num_errors: int, num_frames_missing: int) -> Iterator[VideoWarning]:
    """Yield `damaged_video` if packets or frames could not be read or decoded."""
    if num_errors or num_frames_missing:
        yield VideoWarning(
            "damaged_video",
            f"Parts of the file are damaged: {num_errors} read or decode errors, "
            f"{num_frames_missing} sampled frames omitted.",
        )


def time_warnings(timeline: Timeline) -> Iterator[VideoWarning]:
    """Yield `clock_jumped` and `assumed_frame_rate` if timestamps were repaired or counted."""
    if timeline.num_clock_restarts or timeline.num_clock_leaps:
        yield VideoWarning(
            "clock_jumped",
            f"The file's clock goes back {timeline.num_clock_restarts} times and leaps forward "
            f"{timeline.num_clock_leaps} times, as in joined recordings. Times continue from the previous frame.",
        )
    if timeline.is_rate_assumed and timeline.frame_rate is not None:
        yield VideoWarning(
            "assumed_frame_rate",
            f"The file has no usable timestamps. {timeline.frame_rate:.6g} frames per second are assumed.",
        )


def track_warnings(track: OpenedTrack) -> Iterator[VideoWarning]:
    """Yield `other_tracks` if the file has video tracks that are not decoded."""
    if track.other_tracks:
        yield VideoWarning(
            "other_tracks",
            f"The file has {1 + len(track.other_tracks)} video tracks. Only the track that players show was "
            f"decoded. Not decoded: track {', track '.join(track.other_tracks)}.",
        )
