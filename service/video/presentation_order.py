"""The order in which a video's pictures are shown, from the timestamps of its packets. Pure arithmetic."""

from bisect import bisect_right, insort
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

from service.video.clock import MAX_REORDERED, ClockRules, PacketFacts
from service.video.frame_times import ShownTicks


class PresentationOrder:
    """The presentation order of packets whose clock is steady.

    `packets` int64 [P] in file order: the position of each packet's picture among all pictures. The two fields of a
    picture share a position. If `is_known` is false, positions are those in the file.
    """

    def __init__(self, packets: Sequence[PacketFacts], clock: ClockRules, *, has_clock_breaks: bool) -> None:
        self._packets = packets
        self._pictures = [packet for packet in packets if not packet.is_second_field]
        timed = [packet for packet in self._pictures if packet.pts is not None]
        self._has_decode_times = clock.has_decode_times and all(packet.dts is not None for packet in timed)
        is_in_file_order = _is_in_file_order(self._pictures, timed, clock)
        self.is_known = not clock.is_reordered or (
            not has_clock_breaks and not is_in_file_order and _have_usable_times(self._pictures, timed, clock)
        )
        if not self.is_known:
            self.packets = np.arange(len(packets), dtype=np.int64)
        else:
            self.packets = self._positions() if is_in_file_order else self._ranks()

    @property
    def is_shown(self) -> NDArray[np.bool_]:
        """Bool [P]: whether the packet is the first of a picture that is shown."""
        return np.array([not packet.is_discarded and not packet.is_second_field for packet in self._packets])

    def shown_ticks(self) -> ShownTicks | None:
        """When each shown picture comes on screen; None if no timestamp is usable.

        A picture without a time of its own, or with that of the picture before it, is shown between its neighbours.
        """
        if self.is_known:
            is_picture = np.array([not packet.is_second_field for packet in self._packets])
            by_order = [self._pictures[position] for position in np.argsort(self.packets[is_picture], kind="stable")]
            return ShownTicks.interpolated([packet.pts for packet in by_order if not packet.is_discarded])
        shown = [packet for packet in self._pictures if not packet.is_discarded]
        if all(packet.pts is not None for packet in shown):
            return ShownTicks.interpolated(sorted(packet.pts or 0 for packet in shown))
        return ShownTicks.interpolated([packet.dts if self._has_decode_times else packet.pts for packet in shown])

    def last_duration(self, typical_step: float) -> int:
        """Ticks for which the last shown picture stays on screen by its packet; 0 if unknown.

        Durations are ignored if most are far shorter than `typical_step`, the ticks from one picture to the next.
        """
        if not self.is_known:
            return 0
        is_shown = self.is_shown
        durations = np.array([packet.duration for packet in self._packets])[is_shown]
        is_usable = len(durations) == 1 or median(durations.tolist()) >= typical_step / 2
        return int(durations[np.argmax(self.packets[is_shown])]) if is_usable else 0

    def _positions(self) -> NDArray[np.int64]:
        positions = np.cumsum([not packet.is_second_field for packet in self._packets], dtype=np.int64) - 1
        return np.maximum(positions, 0)

    def _ranks(self) -> NDArray[np.int64]:
        pts = np.array([packet.pts for packet in self._pictures], dtype=np.int64)
        ranks = np.empty(len(pts), dtype=np.int64)
        ranks[np.argsort(pts, kind="stable")] = np.arange(len(pts))
        return ranks[self._positions()]


def _is_in_file_order(pictures: Sequence[PacketFacts], timed: Sequence[PacketFacts], clock: ClockRules) -> bool:
    """Whether pictures are stored in presentation order, or no timestamp contradicts it."""
    has_times = _num_distinct_times(timed) > min(1, len(pictures) - 1)
    is_ascending = all((after.pts or 0) >= (before.pts or 0) for before, after in pairwise(timed))
    return not clock.is_reordered or is_ascending or not has_times


def _have_usable_times(pictures: Sequence[PacketFacts], timed: Sequence[PacketFacts], clock: ClockRules) -> bool:
    """Whether timestamps order reordered pictures: none is missing, repeated or further away than the stream allows."""
    num_shown = sum(not packet.is_discarded for packet in pictures)
    return (
        len(timed) == len(pictures)
        and _num_distinct_times(timed) == num_shown
        and _reorder_depth(timed) <= clock.reorder_depth
    )


def _num_distinct_times(timed: Sequence[PacketFacts]) -> int:
    return len({packet.pts for packet in timed if not packet.is_discarded})


def _reorder_depth(timed: Sequence[PacketFacts]) -> int:
    """Most pictures stored before one that is shown before them, at most `MAX_REORDERED` + 1."""
    depth = 0
    latest: list[int] = []
    for packet in timed:
        pts = packet.pts or 0
        insort(latest, pts)
        del latest[: -MAX_REORDERED - 1]
        depth = max(depth, len(latest) - bisect_right(latest, pts))
    return depth
