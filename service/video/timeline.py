"""Packet order, frame order and frame times of a video, read from its packets before any frame is decoded."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.video.clock import ClockRules, PacketFacts, repair_clock
from service.video.frame_times import FrameTimes, assumed_frame_rate
from service.video.orientation import Orientation
from service.video.presentation_order import PresentationOrder

_MAX_FRAMES_OVERSTATED = 2.5
"""Writers round a duration up to a frame, and count the delay of B-frames; none of 670 whole files exceeded this."""
_SLACK_OF_ONE_FRAME_SECONDS = 0.5
_MAX_CORRUPT_BEFORE_RESTART = 3
"""A demuxer marks up to so many packets before a joint as damaged."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The order of a video's packets and frames, and the time of each frame.

    `packet_order` int64 [P] in file order: the position of each packet's picture in presentation order; the two fields
    of a picture share a position. `is_keyframe` bool [P]. `frame_order` int64 [F] ascending: the positions of the
    pictures that are shown. `frame_times_seconds` float64 [F] from the first frame on, never decreasing.

    `is_order_known` is false if timestamps do not give the order: positions are then those in the file, and decoded
    frames are identified by counting. `can_jump` is false if the decoder is configured again within the video.
    `start_seconds` is the time of the first frame on the file's clock. `orientations` are stated by the stream itself:
    (packet order, orientation from there on), ascending.
    """

    packet_order: NDArray[np.int64]
    is_keyframe: NDArray[np.bool_]
    frame_order: NDArray[np.int64]
    frame_times_seconds: NDArray[np.float64]
    duration_seconds: float
    is_order_known: bool
    can_jump: bool
    num_temporal_layers: int
    num_read_errors: int
    start_seconds: float = 0.0
    seconds_never_shown: float = 0.0
    """Seconds of video before the first frame that is shown."""
    num_clock_restarts: int = 0
    num_clock_leaps: int = 0
    is_reordered: bool = False
    """Whether the stream stores pictures in another order than they are shown."""
    is_rate_assumed: bool = False
    """Whether no timestamp is usable, so that frames are counted at a rate."""
    orientations: tuple[tuple[int, Orientation], ...] = ()

    @classmethod
    def from_packets(
        cls,
        packets: Sequence[PacketFacts],
        clock: ClockRules,
        frame_rate: float | None,
        num_read_errors: int,
    ) -> Self:
        """The timeline of `packets`, at least one of which is shown.

        `frame_rate`, as claimed by the container, is used only if the packets state no durations or timestamps.
        """
        repaired = repair_clock(packets, clock)
        breaks = [*repaired.restarts, *repaired.leaps]
        order = PresentationOrder(repaired.packets, clock, has_clock_breaks=bool(breaks))
        times = _frame_times(order, clock, assumed_frame_rate(packets, clock.seconds_per_tick, frame_rate))
        return cls(
            packet_order=order.packets,
            is_keyframe=np.array([packet.is_keyframe for packet in packets], dtype=np.bool_),
            frame_order=np.sort(order.packets[order.is_shown]),
            frame_times_seconds=times.seconds,
            duration_seconds=times.duration_seconds,
            is_order_known=order.is_known,
            can_jump=not any(packet.is_new_setup for packet in packets[1:]),
            num_temporal_layers=1 + max(packet.temporal_layer for packet in packets),
            num_read_errors=num_read_errors + _num_corrupt(packets, breaks),
            start_seconds=times.start_seconds,
            num_clock_restarts=len(repaired.restarts),
            num_clock_leaps=len(repaired.leaps),
            is_reordered=clock.is_reordered,
            is_rate_assumed=times.is_rate_assumed,
            orientations=_orientations(packets, order),
        )

    @property
    def frame_rate(self) -> float | None:
        """Mean frames per second over the video; None for a single frame."""
        num_gaps = len(self.frame_times_seconds) - 1
        last_seconds = float(self.frame_times_seconds[-1])
        return num_gaps / last_seconds if last_seconds > 0 else None

    @property
    def is_variable_frame_rate(self) -> bool:
        """Whether frame durations differ by more than rounding to milliseconds."""
        gaps = np.diff(self.frame_times_seconds)
        return len(gaps) > 1 and bool(gaps.max() - gaps.min() > max(0.0021, 0.1 * float(np.median(gaps))))

    @property
    def slack_seconds(self) -> float:
        """Most seconds by which the claimed duration of a complete file may exceed the counted one."""
        if len(self.frame_times_seconds) < 2:  # noqa: PLR2004 - one frame has no interval
            return _SLACK_OF_ONE_FRAME_SECONDS
        return _MAX_FRAMES_OVERSTATED * float(np.diff(self.frame_times_seconds).max())

    @property
    def has_pictures_before_first_keyframe(self) -> bool:
        """Whether shown pictures precede the first keyframe: these may refer to pictures that the file lacks."""
        keyframes = np.flatnonzero(self.is_keyframe)
        if len(keyframes) == 0:
            return False
        first = self.packet_order[keyframes[0]]
        return bool(self.frame_order[0] < first)

    def starting_at(self, order: int) -> "Timeline":
        """The timeline without the frames before packet order `order`; at least one frame must remain."""
        first = int(np.searchsorted(self.frame_order, order))
        first_seconds = float(self.frame_times_seconds[first])
        return replace(
            self,
            frame_order=self.frame_order[first:],
            frame_times_seconds=self.frame_times_seconds[first:] - first_seconds,
            duration_seconds=self.duration_seconds - first_seconds,
            start_seconds=self.start_seconds + first_seconds,
            seconds_never_shown=self.seconds_never_shown + first_seconds,
        )

    def with_counted_frames(self) -> "Timeline":
        """The timeline with frames identified by counting, because timestamps contradict the decoder's order."""
        shown = np.flatnonzero(np.isin(self.packet_order, self.frame_order))
        # The two fields of a picture share a position: only the first counts.
        _, first = np.unique(self.packet_order[shown], return_index=True)
        position_of = dict(zip(self.packet_order.tolist(), range(len(self.packet_order)), strict=True))
        return replace(
            self,
            packet_order=np.arange(len(self.packet_order), dtype=np.int64),
            frame_order=np.sort(shown[first]),
            is_order_known=False,
            orientations=tuple(
                sorted(((position_of[order], value) for order, value in self.orientations), key=itemgetter(0))
            ),
        )

    def orientation_at(self, order: int) -> Orientation:
        """The orientation that the stream states at packet order `order`."""
        index = bisect_right(self.orientations, order, key=itemgetter(0))
        return self.orientations[max(index - 1, 0)][1] if self.orientations else Orientation()


def _frame_times(order: PresentationOrder, clock: ClockRules, frame_rate: float) -> FrameTimes:
    shown = order.shown_ticks()
    if shown is None:
        return FrameTimes.counted(int(order.is_shown.sum()), frame_rate)
    last_ticks = order.last_duration(shown.typical_step)
    return FrameTimes.timed(shown, clock.seconds_per_tick, last_ticks, frame_rate)


def _orientations(packets: Sequence[PacketFacts], order: PresentationOrder) -> tuple[tuple[int, Orientation], ...]:
    stated = (
        (int(position), packet.orientation)
        for position, packet in zip(order.packets, packets, strict=True)
        if packet.orientation is not None
    )
    return tuple(sorted(stated, key=itemgetter(0)))


def _num_corrupt(packets: Sequence[PacketFacts], breaks: Sequence[int]) -> int:
    """Number of packets that the demuxer marked as damaged, except near clock breaks and keyframes.

    A segment of a joined stream begins with a keyframe and may restart the packet counter, which looks like damage.
    """
    if not any(packet.is_corrupt for packet in packets):
        return 0
    joints = [*breaks, *(position for position, packet in enumerate(packets) if packet.is_keyframe)]
    at_joints = {position - back for position in joints for back in range(-1, _MAX_CORRUPT_BEFORE_RESTART + 1)}
    return sum(packet.is_corrupt for position, packet in enumerate(packets) if position not in at_joints)
