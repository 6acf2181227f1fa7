"""When every frame of a video is shown, as read from its packets before one is decoded. Pure data."""

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import itemgetter
from statistics import median
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.video.clock import MAX_REORDERED, ClockRules, PacketFacts, steady
from service.video.orientation import Orientation

_ASSUMED_FRAME_RATE = 25.0
_MAX_FRAME_RATE = 1000.0
"""A container that claims more frames a second does not state a rate but the unit of its clock."""
_MAX_FRAMES_OVERSTATED = 2.5
"""Writers round a duration up to a frame, and count the delay of B-frames; none of 670 whole files exceeded this."""
_SLACK_OF_ONE_FRAME_SECONDS = 0.5
_MAX_CORRUPT_BEFORE_RESTART = 3
"""A demuxer notices that parts do not join up in so many packets before the joint."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The order of a video's packets and frames, and the time of each frame.

    `packet_order` int64 [P] in file order: the position of each packet's picture among all pictures in order of
    presentation; the fields of one picture share theirs. `is_keyframe` bool [P]. `frame_order` int64 [F] ascending:
    those positions of pictures that are shown. `frame_times_seconds` float64 [F] from the first frame on, never
    decreasing.

    Where timestamps do not tell the order, `is_order_known` is false: positions are then those in the file, and
    frames are told apart by counting them. `can_jump` is false where the decoder is set up again on the way.
    `start_seconds` is the first frame's time on the file's own clock. `orientations` are those that the stream
    itself asks for: (packet order, orientation from there on), ascending.
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
    """The file holds so much before its first frame that is shown."""
    num_clock_restarts: int = 0
    num_clock_leaps: int = 0
    is_reordered: bool = False
    """The stream stores pictures in another order than they are shown."""
    is_rate_assumed: bool = False
    """No timestamp can be used: frames are counted at a rate."""
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

        `frame_rate` is the container's claim; it counts only where the packets do not say.
        """
        repaired = steady(packets, clock)
        breaks = [*repaired.restarts, *repaired.leaps]
        pictures = _Pictures(repaired.packets, clock)
        # Where the clock was set anew between reordered pictures, which of them it was is a guess.
        is_order_known = pictures.has_order and not (clock.is_reordered and breaks)
        order = pictures.order() if is_order_known else np.arange(len(packets), dtype=np.int64)
        is_shown = np.array([not packet.is_discarded and not packet.is_second_field for packet in packets])
        shown = pictures.shown_ticks(order, is_order_known=is_order_known)
        rate = _rate(packets, clock.seconds_per_tick, frame_rate)
        if shown is None:
            times = np.arange(int(is_shown.sum())) / rate
            start_seconds = last_seconds = 0.0
        else:
            start, ticks = shown
            times = ticks * clock.seconds_per_tick
            start_seconds = start * clock.seconds_per_tick
            typical_ticks = float(median(np.diff(ticks).tolist())) if len(ticks) > 1 else 0.0
            last_ticks = pictures.last_duration(order, typical_ticks) if is_order_known else 0
            last_seconds = (last_ticks or typical_ticks) * clock.seconds_per_tick
        last_seconds = last_seconds or 1 / rate
        return cls(
            packet_order=order,
            is_keyframe=np.array([packet.is_keyframe for packet in packets], dtype=np.bool_),
            frame_order=np.sort(order[is_shown]),
            frame_times_seconds=times,
            duration_seconds=float(times[-1] + last_seconds),
            is_order_known=is_order_known,
            can_jump=not any(packet.is_new_setup for packet in packets[1:]),
            num_temporal_layers=1 + max(packet.temporal_layer for packet in packets),
            num_read_errors=num_read_errors + _num_corrupt(packets, breaks),
            start_seconds=start_seconds,
            num_clock_restarts=len(repaired.restarts),
            num_clock_leaps=len(repaired.leaps),
            is_reordered=clock.is_reordered,
            is_rate_assumed=shown is None and len(times) > 1,
            orientations=tuple(
                sorted(
                    (
                        (int(position), packet.orientation)
                        for position, packet in zip(order, packets, strict=True)
                        if packet.orientation is not None
                    ),
                    key=itemgetter(0),
                )
            ),
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

    @property
    def slack_seconds(self) -> float:
        """How much less than it claims a whole file may last: how long its last pictures are shown is a guess."""
        if len(self.frame_times_seconds) < 2:  # noqa: PLR2004 - one is no interval
            return _SLACK_OF_ONE_FRAME_SECONDS
        return _MAX_FRAMES_OVERSTATED * float(np.diff(self.frame_times_seconds).max())

    @property
    def has_pictures_before_first_keyframe(self) -> bool:
        """Whether pictures are to be shown that refer, or may refer, to some from before the file begins."""
        keyframes = np.flatnonzero(self.is_keyframe)
        if len(keyframes) == 0:
            return False
        first = self.packet_order[keyframes[0]]
        return bool(self.frame_order[0] < first)

    def starting_at(self, order: int) -> "Timeline":
        """The timeline without the frames before packet order `order`, one at least of which is left."""
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

    def counted(self) -> "Timeline":
        """The timeline where decoded frames are counted, because their order is not that of the timestamps."""
        shown = np.flatnonzero(np.isin(self.packet_order, self.frame_order))
        # The fields of a picture share their place: the first one stands for it.
        _, first = np.unique(self.packet_order[shown], return_index=True)
        place_of = dict(zip(self.packet_order.tolist(), range(len(self.packet_order)), strict=True))
        return replace(
            self,
            packet_order=np.arange(len(self.packet_order), dtype=np.int64),
            frame_order=np.sort(shown[first]),
            is_order_known=False,
            orientations=tuple(
                sorted(((place_of[order], value) for order, value in self.orientations), key=itemgetter(0))
            ),
        )

    def orientation_at(self, order: int) -> Orientation:
        """The orientation that the stream asks for at packet order `order`."""
        index = bisect_right(self.orientations, order, key=itemgetter(0))
        return self.orientations[max(index - 1, 0)][1] if self.orientations else Orientation()


class _Pictures:
    """Packets seen as pictures: which come first, and when."""

    def __init__(self, packets: Sequence[PacketFacts], clock: ClockRules) -> None:
        self._packets = packets
        self._first = [packet for packet in packets if not packet.is_second_field]
        timed = [packet for packet in self._first if packet.pts is not None]
        num_times = len({packet.pts for packet in timed if not packet.is_discarded})
        has_times = num_times > min(1, len(self._first) - 1)
        self._has_all_times = len(timed) == len(self._first)
        self._has_decode_times = clock.has_decode_times and all(packet.dts is not None for packet in timed)
        is_ascending = all((after.pts or 0) >= (before.pts or 0) for before, after in pairwise(timed))
        self._is_in_file_order = not clock.is_reordered or is_ascending or not has_times
        # Timestamps of reordered pictures that only ascend are times of decoding; one that is missing may be any, one
        # that two pictures share does not order them, and those that ask for more reordering than the stream allows
        # are wrong.
        num_shown = sum(not packet.is_discarded for packet in self._first)
        self.has_order = not clock.is_reordered or (
            not self._is_in_file_order
            and self._has_all_times
            and num_times == num_shown
            and _reorder_depth(timed) <= clock.reorder_depth
        )
        """Whether the order of presentation follows from the timestamps, or is that of the file."""

    def order(self) -> NDArray[np.int64]:
        """int64 [P]: each packet's position in order of presentation."""
        positions = np.cumsum([not packet.is_second_field for packet in self._packets], dtype=np.int64) - 1
        positions = np.maximum(positions, 0)
        if self._is_in_file_order:
            return positions
        pts = np.array([packet.pts for packet in self._first], dtype=np.int64)
        ranks = np.empty(len(pts), dtype=np.int64)
        ranks[np.argsort(pts, kind="stable")] = np.arange(len(pts))
        return ranks[positions]

    def shown_ticks(self, order: NDArray[np.int64], *, is_order_known: bool) -> tuple[int, NDArray[np.float64]] | None:
        """The first shown picture's time, and float64 [F]: when each comes on screen after it, in order.

        None where no timestamp says. A picture without a time of its own, or with that of the picture before it,
        is shown between its neighbours.
        """
        if not is_order_known:
            shown = [packet for packet in self._first if not packet.is_discarded]
            if all(packet.pts is not None for packet in shown):
                return _filled(sorted(packet.pts or 0 for packet in shown))
            return _filled([packet.dts if self._has_decode_times else packet.pts for packet in shown])
        is_first = np.array([not packet.is_second_field for packet in self._packets])
        by_order = [self._first[position] for position in np.argsort(order[is_first], kind="stable")]
        return _filled([packet.pts for packet in by_order if not packet.is_discarded])

    def last_duration(self, order: NDArray[np.int64], typical_ticks: float) -> int:
        """Ticks for which the last shown picture says that it is shown; 0 where it does not say.

        Nor does it where pictures say that they are shown for much less than until the next one (`typical_ticks`).
        """
        is_shown = np.array([not packet.is_discarded and not packet.is_second_field for packet in self._packets])
        durations = np.array([packet.duration for packet in self._packets])[is_shown]
        is_told = len(durations) == 1 or median(durations.tolist()) >= typical_ticks / 2
        return int(durations[np.argmax(order[is_shown])]) if is_told else 0


def _reorder_depth(timed: Sequence[PacketFacts]) -> int:
    """How many pictures are stored before one that is shown before them, at most; beyond `MAX_REORDERED`, that."""
    depth = 0
    latest: list[int] = []
    for packet in timed:
        pts = packet.pts or 0
        insort(latest, pts)
        del latest[: -MAX_REORDERED - 1]
        depth = max(depth, len(latest) - bisect_right(latest, pts))
    return depth


def _filled(ticks: Sequence[int | None]) -> tuple[int, NDArray[np.float64]] | None:
    """The first tick, and all from there on, the missing and repeated ones between or behind the others.

    None where there are too few.
    """
    known: list[tuple[int, int]] = []
    for position, value in enumerate(ticks):
        if value is not None and (not known or value > known[-1][1]):
            known.append((position, value))
    if not known or (len(known) == 1 and len(ticks) > 1):
        return None
    origin = known[0][1]
    positions = np.array([position for position, _ in known])
    # Subtracting before scaling keeps enormous start times exact.
    values = np.array([value - origin for _, value in known], dtype=np.float64)
    if len(known) == len(ticks):
        return origin, values
    step = float(np.median(np.diff(values) / np.diff(positions)))
    everywhere = np.arange(len(ticks))
    filled = np.interp(everywhere, positions, values)
    filled += np.maximum(everywhere - positions[-1], 0) * step
    filled += np.minimum(everywhere - positions[0], 0) * step
    return round(origin + float(filled[0])), filled - filled[0]


def _rate(packets: Sequence[PacketFacts], seconds_per_tick: float, claimed: float | None) -> float:
    """Frames per second where no timestamp says: by the packets' durations, or as claimed."""
    durations = [packet.duration for packet in packets if packet.duration > 0 and not packet.is_discarded]
    typical = median(durations) * seconds_per_tick if durations else 0.0
    for rate in (1 / typical if typical > 0 else 0.0, claimed or 0.0):
        if 0 < rate <= _MAX_FRAME_RATE:
            return rate
    return _ASSUMED_FRAME_RATE


def _num_corrupt(packets: Sequence[PacketFacts], breaks: Sequence[int]) -> int:
    """How many packets their demuxer found damaged, apart from those at which two parts may join.

    Segments of a stream begin with a keyframe, and may count their transport packets from 0 again.
    """
    if not any(packet.is_corrupt for packet in packets):
        return 0
    joints = [*breaks, *(position for position, packet in enumerate(packets) if packet.is_keyframe)]
    at_joints = {position - back for position in joints for back in range(-1, _MAX_CORRUPT_BEFORE_RESTART + 1)}
    return sum(packet.is_corrupt for position, packet in enumerate(packets) if position not in at_joints)
