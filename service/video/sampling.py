"""Selects the frames of each clip and the packets that they need. Pure arithmetic over timestamps.

0        window        2*stride            duration
|-----------|                                  |
|       |-----------|                          |
|               |-----------|          ...     |
|                                  |-----------|   <- the last one ends with the video
  x x x x x x x x                                  <- `num_frames` sample times, each in the
                                                      middle of its interval
"""

import math

import numpy as np
from numpy.typing import NDArray

from service.video.clip import ClipSpec, ClipTimes

# Actions for a packet. Plain numbers, because the decoder compares one for each packet.
SKIP = 0
"""Skip the packet: no wanted frame needs it."""
REFERENCE = 1
"""Decode the packet only if other frames refer to it: its own frame is not wanted."""
FRAME = 2
"""Decode the packet: its frame is wanted."""


def window_starts(duration_seconds: float, spec: ClipSpec) -> NDArray[np.float64]:
    """Start of each clip's window in seconds, float64 [N], N >= 1, ascending from 0.

    A video that exceeds one window by less than one sampling interval gives one clip: a second clip would repeat its
    frames.
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
    """Select, for each clip, the frame on screen at each of its sample times.

    With `span_seconds`, `[start, end)` and `start < duration_seconds`, the windows cover only that part of the video;
    times still count from the start of the video.

    `frame_times_seconds` float64 [F], F >= 1, ascending from 0, is when each frame comes on screen. A sample time after
    the end of the video is invalid; the first one of a clip is always valid.
    """
    offsets = (np.arange(spec.num_frames) + 0.5) / spec.frames_per_second
    span_start, span_end = span_seconds or (0.0, duration_seconds)
    span_end = min(span_end, duration_seconds)
    clips = []
    for start in span_start + window_starts(span_end - span_start, spec):
        sample_times = start + offsets
        # Timestamps are rational, sample times are floats: a frame due exactly at a sample time is on screen.
        indices = np.searchsorted(frame_times_seconds, sample_times + 1e-9, side="right") - 1
        valid = sample_times < span_end
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
    """Action for each packet, uint8 [P], so that the wanted frames decode exactly: `SKIP`, `REFERENCE` or `FRAME`.

    Packets are in file (decode) order. `packet_order` int64 [P] is the position of each in presentation order;
    `wanted_order` is ascending and not empty. Decoding of a frame starts at the last keyframe that is both stored and
    shown no later than the frame. (A frame of an open GOP that is shown *before* its keyframe therefore starts at the
    keyframe before it.) The decoder checks whether a packet marked as a keyframe is one.
    """
    schedule = np.full(len(packet_order), SKIP, dtype=np.uint8)
    is_wanted = np.isin(packet_order, wanted_order)
    keyframes = np.flatnonzero(is_keyframe)
    if len(keyframes) == 0 or np.any(np.diff(packet_order[keyframes]) <= 0):
        # The keyframe marks contradict the order: decode without jumps.
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
