"""Which moments of a video to look at, and which packets that costs. Pure arithmetic over timestamps.

0        window        2*stride            duration
|-----------|                                  |
|       |-----------|                          |
|               |-----------|          ...     |
|                                  |-----------|   <- the last one ends with the video
  x x x x x x x x                                  <- `num_frames` moments, each in the
                                                      middle of its own interval
"""

import math

import numpy as np
from numpy.typing import NDArray

from service.video.clip import ClipSpec, ClipTimes

# What the decoder is to do with one packet: plain numbers, because it asks for each packet.
SKIP = 0
"""Do not send it: no wanted frame needs it."""
REFERENCE = 1
"""Send it, but its own frame is not wanted: decode it only if others refer to it."""
FRAME = 2
"""Send it: its own frame is wanted."""


def window_starts(duration_seconds: float, spec: ClipSpec) -> NDArray[np.float64]:
    """Start of every clip's window in seconds, float64 [N], N >= 1, ascending from 0.

    A video longer than one window by less than one sampling interval is still one clip: a second
    one would show the same frames again.
    """
    excess_seconds = duration_seconds - spec.window_seconds
    if excess_seconds < 1 / spec.frames_per_second:
        return np.zeros(1)
    num_steps = math.ceil(excess_seconds / spec.stride_seconds)
    return np.linspace(0.0, excess_seconds, num_steps + 1)


def plan_clips(
    frame_times_seconds: NDArray[np.float64],
    duration_seconds: float,
    spec: ClipSpec,
    span_seconds: tuple[float, float] | None = None,
) -> list[ClipTimes]:
    """Choose, for every clip, the frame on screen at each of its moments.

    With a `span_seconds`, `[start, end)` and `start < duration_seconds`, the windows cover that part
    of the video as if it were all of it; times still count from the start of the video.

    `frame_times_seconds` float64 [F], F >= 1, ascending from 0, is when each frame comes on
    screen. A moment past the end of the video is invalid; the first moment of a clip never is.
    """
    offsets = (np.arange(spec.num_frames) + 0.5) / spec.frames_per_second
    span_start, span_end = span_seconds or (0.0, duration_seconds)
    span_end = min(span_end, duration_seconds)
    clips = []
    for start in span_start + window_starts(span_end - span_start, spec):
        moments = start + offsets
        # Timestamps are rational and moments are not: a frame due at a moment counts as on screen.
        indices = np.searchsorted(frame_times_seconds, moments + 1e-9, side="right") - 1
        valid = moments < span_end
        valid[0] = True
        last_valid = indices[valid][-1]
        clips.append(
            ClipTimes(
                frame_indices=np.where(valid, indices, -1),
                times_seconds=frame_times_seconds[np.where(valid, indices, last_valid)],
                valid=valid,
                start_seconds=float(start),
                end_seconds=float(min(start + spec.window_seconds, span_end)),
            )
        )
    return clips


def schedule_packets(
    packet_order: NDArray[np.int64], is_keyframe: NDArray[np.bool_], wanted_order: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """What to do with every packet so that just the wanted frames come out, exact: uint8 [P].

    Each is `SKIP`, `REFERENCE` or `FRAME`. Packets are in file (decode) order; `packet_order` int64 [P] is each one's
    position in order of presentation, and `wanted_order` is ascending and not empty. A frame needs nothing from before
    the last keyframe that is both stored and shown no later than itself (the frames of an open GOP that are shown
    *before* their keyframe therefore start from the keyframe before it). Whether a packet called a keyframe is one is
    for the decoder to find out.
    """
    schedule = np.full(len(packet_order), SKIP, dtype=np.uint8)
    is_wanted = np.isin(packet_order, wanted_order)
    keyframes = np.flatnonzero(is_keyframe)
    if len(keyframes) == 0 or np.any(np.diff(packet_order[keyframes]) <= 0):
        # Keyframes that cannot be trusted are not jumped to.
        keyframes = np.zeros(1, dtype=np.intp)
    wanted_positions = np.flatnonzero(is_wanted)
    keyframe_of = np.minimum(
        np.searchsorted(packet_order[keyframes], packet_order[is_wanted], side="right"),
        np.searchsorted(keyframes, wanted_positions, side="right"),
    )
    keyframe_of = np.maximum(keyframe_of - 1, 0)
    for group in np.unique(keyframe_of):
        first = int(keyframes[group]) if group > 0 else 0
        last = int(wanted_positions[keyframe_of == group].max())
        schedule[first : last + 1] = REFERENCE
    schedule[is_wanted] = FRAME
    return schedule
