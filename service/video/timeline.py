"""When every frame of a video is shown, as read from its packets before one is decoded. Pure data."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Timeline:
    """Timestamps of a video's packets, in file order, and of its frames, in presentation order.

    `packet_pts` int64 [P] and `is_keyframe` bool [P] in units of the stream's time base;
    `frame_pts` int64 [F] ascending; `frame_times_seconds` float64 [F] from the first frame on.
    A packet without a timestamp belongs to the one before it (the second field of a picture, say).
    Where most bear none, or invented ones, `is_timed` is false: frames are then told apart by
    counting them. `can_jump` is false where the decoder is set up anew on the way.
    """

    packet_pts: NDArray[np.int64]
    is_keyframe: NDArray[np.bool_]
    frame_pts: NDArray[np.int64]
    frame_times_seconds: NDArray[np.float64]
    duration_seconds: float
    is_timed: bool
    can_jump: bool
    num_temporal_layers: int
    num_read_errors: int

    @classmethod
    def from_packets(
        cls,
        packets: list["PacketFacts"],
        seconds_per_tick: float,
        frame_rate: float | None,
        num_read_errors: int,
        *,
        can_reorder_silently: bool = False,
    ) -> Self:
        """The timeline of `packets`, at least one of which is shown.

        `frame_rate` is the container's claim; it counts only where the packets do not say. Where the
        decoder `can_reorder_silently`, timestamps that only ascend in file order are invented: the
        container knows when to decode, but not in which order to show.
        """
        timed = [packet for packet in packets if packet.pts is not None]
        shown = [packet for packet in timed if not packet.is_discarded]
        is_timed = bool(shown) and 2 * len(timed) >= len(packets)
        if can_reorder_silently and is_timed:
            is_timed = any(after < before for before, after in pairwise(_inherited_pts(packets)))
        if is_timed:
            pts = _inherited_pts(packets)
            frame_pts = np.unique(np.array([packet.pts for packet in shown], dtype=np.int64))
            # Subtracting before scaling keeps enormous start times exact.
            times = (frame_pts - frame_pts[0]).astype(np.float64) * seconds_per_tick
            last_packet = max(shown, key=lambda packet: packet.pts or 0)
            last_seconds = last_packet.duration * seconds_per_tick
        else:
            pts = np.arange(len(packets), dtype=np.int64)
            frame_pts = np.arange(sum(not packet.is_discarded for packet in packets), dtype=np.int64)
            times = _counted_times(packets, seconds_per_tick, frame_rate or 25.0)
            last_seconds = 0.0
        if last_seconds <= 0:
            typical = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
            last_seconds = typical or 1 / (frame_rate or 25.0)
        return cls(
            packet_pts=pts,
            is_keyframe=np.array([packet.is_keyframe for packet in packets], dtype=np.bool_),
            frame_pts=frame_pts,
            frame_times_seconds=times,
            duration_seconds=float(times[-1] + last_seconds),
            is_timed=is_timed,
            can_jump=not any(packet.is_new_setup for packet in packets[1:]),
            num_temporal_layers=1 + max(packet.temporal_layer for packet in packets),
            num_read_errors=num_read_errors,
        )

    @property
    def frame_rate(self) -> float | None:
        """Mean frames per second over the video, or None for a single frame."""
        num_gaps = len(self.frame_times_seconds) - 1
        last_seconds = float(self.frame_times_seconds[-1])
        return num_gaps / last_seconds if last_seconds > 0 else None

    @property
    def is_variable_frame_rate(self) -> bool:
        """Whether frames are shown for clearly different times; rounding to milliseconds is not."""
        gaps = np.diff(self.frame_times_seconds)
        return len(gaps) > 1 and bool(gaps.max() - gaps.min() > max(0.0021, 0.1 * float(np.median(gaps))))


class PacketFacts(NamedTuple):
    """What one packet says of itself, in ticks; `duration` is 0 where it says nothing.

    A discarded packet is decoded but not shown; one with a new setup changes the decoder's settings.
    A tuple, because one is made for every packet, and a frozen dataclass takes three times as long to make.
    """

    pts: int | None
    duration: int
    is_keyframe: bool
    is_discarded: bool
    dts: int | None = None
    temporal_layer: int = 0
    is_new_setup: bool = False


def _counted_times(packets: list[PacketFacts], seconds_per_tick: float, frame_rate: float) -> NDArray[np.float64]:
    """When each frame is shown if only the times of decoding are known, or not even those."""
    shown = [packet.dts for packet in packets if not packet.is_discarded]
    dts = np.array([ticks for ticks in shown if ticks is not None], dtype=np.int64)
    if len(dts) == len(shown) and np.all(np.diff(dts) > 0):
        seconds: NDArray[np.float64] = (dts - dts[0]).astype(np.float64) * seconds_per_tick
        return seconds
    return np.arange(len(shown)) / frame_rate


def _inherited_pts(packets: list[PacketFacts]) -> NDArray[np.int64]:
    """Every packet's timestamp, or that of the nearest before it (after it, at the start)."""
    pts = []
    last = next(packet.pts for packet in packets if packet.pts is not None)
    for packet in packets:
        last = last if packet.pts is None else packet.pts
        pts.append(last)
    return np.array(pts, dtype=np.int64)
