"""Carries timestamps on where a file's clock goes back or leaps, as players do. Pure arithmetic over timestamps.

Recordings appended to each other, and streams whose encoder was restarted, begin their clock again.
"""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from service.video.orientation import Orientation

_MIN_BACK_SECONDS = 0.1
"""A clock that goes back by less is unsteady, not restarted (FFmpeg's command line draws the same line)."""
_MAX_LEAP_SECONDS = 10.0
"""A longer gap is a leap of the clock where the container's clock may leap (FFmpeg's `dts_delta_threshold`)."""
_MAX_GAP_SECONDS = 30 * 3600.0
"""A longer gap is a leap in any container (FFmpeg's `dts_error_threshold`)."""
_MAX_REORDERED = 16
"""No codec shows a picture later than after so many that are stored behind it."""
_MIN_SHARE_REORDERED = 0.1
"""Where pictures are stored out of order, the clock goes back more often than this; appended parts are fewer."""
_SECONDS_WITHOUT_STEPS = 0.04


class PacketFacts(NamedTuple):
    """The facts that one packet states, in ticks; `duration` is 0 where it states none.

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
    is_second_field: bool = False
    """It completes the picture that the packet before it began."""
    is_corrupt: bool = False
    orientation: Orientation | None = None
    """The orientation that the stream itself asks for from this picture on."""


@dataclass(frozen=True, slots=True)
class ClockRules:
    """How the clock of a container behaves."""

    seconds_per_tick: float
    may_leap: bool = False
    """The container's clock may be set anew on the way, as that of MPEG-TS."""
    has_decode_times: bool = True
    """Times of decoding come from the file; they are not derived from times of presentation."""
    can_reorder: bool = True
    """The codec may store pictures in another order than they are shown."""


@dataclass(frozen=True, slots=True)
class SteadyPackets:
    """Packets whose clock neither goes back nor leaps, and the positions of those at which it did."""

    packets: list[PacketFacts]
    restarts: list[int]
    leaps: list[int]


def steady(packets: Sequence[PacketFacts], rules: ClockRules) -> SteadyPackets:
    """Shift timestamps behind each restart or leap, so that the next picture follows the one before it.

    Packets are in file order, and so are the results.
    """
    breaks = list(_Breaks(packets, rules))
    if not breaks:
        return SteadyPackets(list(packets), [], [])
    bounds = [*(position for position, _ in breaks), len(packets)]
    shifted = list(packets[: bounds[0]])
    end = _End(rules.seconds_per_tick)
    end.move_behind(shifted)
    for first, last in pairwise(bounds):
        part = packets[first:last]
        shift = end.ticks - min(packet.pts for packet in part if packet.pts is not None)
        part = [
            packet._replace(
                pts=None if packet.pts is None else packet.pts + shift,
                dts=None if packet.dts is None else packet.dts + shift,
            )
            for packet in part
        ]
        end.move_behind(part)
        shifted += part
    return SteadyPackets(
        shifted,
        [position for position, is_leap in breaks if not is_leap],
        [position for position, is_leap in breaks if is_leap],
    )


class _Breaks:
    """Finds where the clock goes back or leaps: (position, whether it leaps forward), in file order."""

    def __init__(self, packets: Sequence[PacketFacts], rules: ClockRules) -> None:
        self._packets = packets
        self._can_reorder = rules.can_reorder
        self._min_back = _MIN_BACK_SECONDS / rules.seconds_per_tick
        self._max_leap = (_MAX_LEAP_SECONDS if rules.may_leap else _MAX_GAP_SECONDS) / rules.seconds_per_tick
        timed = [packet for packet in packets if packet.pts is not None]
        self._has_decode_times = rules.has_decode_times and all(packet.dts is not None for packet in timed)
        # A container that calls every picture a keyframe may not know which ones are.
        num_back = sum((after.pts or 0) < (before.pts or 0) for before, after in pairwise(timed))
        self._knows_keyframes = not all(
            packet.is_keyframe for packet in timed
        ) or num_back <= _MIN_SHARE_REORDERED * len(timed)

    def __iter__(self) -> Iterator[tuple[int, bool]]:
        latest: int | None = None
        latest_dts: int | None = None
        largest: list[int] = []
        for position, packet in enumerate(self._packets):
            pts = packet.pts
            if pts is None or packet.is_discarded:
                continue
            is_leap = latest is not None and pts - latest > self._max_leap
            is_back = latest is not None and latest - pts > self._min_back
            if is_back and self._has_decode_times:
                is_back = latest_dts is not None and packet.dts is not None and packet.dts < latest_dts
            elif is_back and self._can_reorder:
                is_back = self._begins_again(position, pts, latest or 0, largest)
            if is_leap or is_back:
                yield position, is_leap
                latest, largest = None, []
            latest = pts if latest is None else max(latest, pts)
            latest_dts = packet.dts
            if not self._has_decode_times:
                insort(largest, pts)
                del largest[: -_MAX_REORDERED - 1]

    def _begins_again(self, position: int, pts: int, latest: int, largest: list[int]) -> bool:
        """Whether a picture that is earlier than one before it cannot be one that is merely stored behind it."""
        if len(largest) > _MAX_REORDERED and pts < largest[0]:
            return True
        if not (self._packets[position].is_keyframe and self._knows_keyframes):
            return False
        # All that is stored before a keyframe is shown before it.
        following = self._packets[position + 1].pts if position + 1 < len(self._packets) else None
        return following is None or following <= latest


class _End:
    """Where the last of some packets is over, in `ticks`."""

    def __init__(self, seconds_per_tick: float) -> None:
        self.ticks = 0
        self._step = max(1, round(_SECONDS_WITHOUT_STEPS / seconds_per_tick))

    def move_behind(self, packets: Sequence[PacketFacts]) -> None:
        """Let `ticks` be where the last of `packets` is over."""
        timed = [packet for packet in packets if packet.pts is not None]
        if not timed:
            return
        last = max(timed, key=lambda packet: packet.pts or 0)
        pts = sorted({packet.pts or 0 for packet in timed})
        if len(pts) > 1:
            self._step = max(1, int(median(after - before for before, after in pairwise(pts))))
        self.ticks = (last.pts or 0) + (last.duration or self._step)
