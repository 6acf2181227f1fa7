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

_FAR_BACK_SECONDS = 1.0
"""A clock that goes back by more is set anew wherever that is; by less, it may be unsteady."""
_NEARBY_SECONDS = 1.0
_NUM_BEHIND_KEYFRAME, _NUM_BEHIND = 1, 2
"""So many pictures behind the first one are still behind where the clock was, if it was set anew."""
_MAX_LEAP_SECONDS = 10.0
"""A longer gap is a leap of the clock where the container's clock may leap (FFmpeg's `dts_delta_threshold`)."""
_MAX_GAP_SECONDS = 30 * 3600.0
"""A longer gap is a leap in any container (FFmpeg's `dts_error_threshold`)."""
_MIN_STRAY_SECONDS, _STRAY_FACTOR, _MIN_DELAYS = 1.0, 20, 4
"""A picture is shown no later after its decoding than this, or so many typical delays or pictures."""
MAX_REORDERED = 16
"""No codec shows a picture later than after so many that are stored behind it."""
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
    """The container's clock may leap forward, as that of MPEG-TS."""
    is_index: bool = False
    """Times come from an index of the whole file, as in MP4: they go back only where the index asks for it."""
    has_decode_times: bool = True
    """Times of decoding come from the file; they are not derived from times of presentation."""
    reorder_depth: int = 0
    """So many pictures, at most, are stored before one that is shown before them."""

    @property
    def is_reordered(self) -> bool:
        """Whether the stream stores pictures in another order than they are shown."""
        return self.reorder_depth > 0


@dataclass(frozen=True, slots=True)
class SteadyPackets:
    """Packets whose clock neither goes back nor leaps, and the positions of those at which it did."""

    packets: list[PacketFacts]
    restarts: list[int]
    leaps: list[int]


def steady(packets: Sequence[PacketFacts], rules: ClockRules) -> SteadyPackets:
    """Shift timestamps behind each restart or leap, so that the next picture follows the one before it.

    Packets are in file order, and so are the results. A time of presentation far from its own time of decoding is
    left out.
    """
    packets = _without_stray_times(packets, rules)
    breaks = [] if rules.is_index else list(_Breaks(packets, rules))
    if not breaks:
        return SteadyPackets(list(packets), [], [])
    bounds = [*(position for position, _ in breaks), len(packets)]
    shifted = list(packets[: bounds[0]])
    end = _End(rules.seconds_per_tick)
    end.move_behind(shifted)
    shift_before = 0
    for first, last in pairwise(bounds):
        part = packets[first:last]
        is_late = _late(part, packets[max(0, first - MAX_REORDERED) : first], rules.seconds_per_tick)
        begins = [packet.pts for packet, late in zip(part, is_late, strict=True) if packet.pts is not None and not late]
        shift = end.ticks - min(begins)
        part = [_shifted(packet, shift_before if late else shift) for packet, late in zip(part, is_late, strict=True)]
        end.move_behind(part)
        shifted += part
        shift_before = shift
    return SteadyPackets(
        shifted,
        [position for position, is_leap in breaks if not is_leap],
        [position for position, is_leap in breaks if is_leap],
    )


def _without_stray_times(packets: Sequence[PacketFacts], rules: ClockRules) -> Sequence[PacketFacts]:
    """The packets without times of presentation that are damaged or made up, as their times of decoding show."""
    if not (rules.is_reordered and rules.has_decode_times):
        return packets
    delays = [packet.pts - packet.dts for packet in packets if packet.pts is not None and packet.dts is not None]
    if len(delays) < _MIN_DELAYS:
        return packets
    typical = abs(median(delays))
    dts = sorted({packet.dts for packet in packets if packet.dts is not None})
    step = median(after - before for before, after in pairwise(dts)) if len(dts) > 1 else 0
    most = max(_MIN_STRAY_SECONDS / rules.seconds_per_tick, _STRAY_FACTOR * typical, _STRAY_FACTOR * step)
    if max(delays) <= most and min(delays) >= -most:
        return packets
    return [
        packet._replace(pts=None)
        if packet.pts is not None and packet.dts is not None and abs(packet.pts - packet.dts) > most
        else packet
        for packet in packets
    ]


def _late(part: Sequence[PacketFacts], before: Sequence[PacketFacts], seconds_per_tick: float) -> list[bool]:
    """Which pictures of a part still bear times of the part before, because they are stored behind the first of it."""
    begin = part[0].pts or 0
    ended = max((packet.pts for packet in before if packet.pts is not None), default=begin)
    nearby = _NEARBY_SECONDS / seconds_per_tick
    if abs(begin - ended) <= _MAX_LEAP_SECONDS / seconds_per_tick:
        return [False] * len(part)
    return [
        position < MAX_REORDERED and packet.pts is not None and abs(packet.pts - ended) < nearby
        for position, packet in enumerate(part)
    ]


def _shifted(packet: PacketFacts, ticks: int) -> PacketFacts:
    return packet._replace(
        pts=None if packet.pts is None else packet.pts + ticks,
        dts=None if packet.dts is None else packet.dts + ticks,
    )


class _Breaks:
    """Finds where the clock goes back or leaps: (position, whether it leaps forward), in file order."""

    def __init__(self, packets: Sequence[PacketFacts], rules: ClockRules) -> None:
        self._packets = packets
        self._is_reordered = rules.is_reordered
        self._far_back = _FAR_BACK_SECONDS / rules.seconds_per_tick
        self._max_leap = (_MAX_LEAP_SECONDS if rules.may_leap else _MAX_GAP_SECONDS) / rules.seconds_per_tick
        timed = [packet for packet in packets if packet.pts is not None and not packet.is_discarded]
        self._has_decode_times = rules.has_decode_times and all(packet.dts is not None for packet in timed)
        # Where every picture is a keyframe, or is called one, that says nothing of where a recording begins.
        self._knows_keyframes = not all(packet.is_keyframe for packet in timed)

    def __iter__(self) -> Iterator[tuple[int, bool]]:
        latest = latest_dts = None
        largest: list[int] = []
        for position, packet in enumerate(self._packets):
            pts = packet.pts
            if pts is None or packet.is_discarded:
                continue
            is_leap = is_back = False
            if latest is not None:
                is_leap = pts - latest > self._max_leap
                is_back = pts <= latest and self._begins_again(position, latest, latest_dts, largest)
            if is_leap or is_back:
                yield position, is_leap
                latest, largest = None, []
            latest = pts if latest is None else max(latest, pts)
            latest_dts = packet.dts
            if self._is_reordered and not self._has_decode_times:
                insort(largest, pts)
                del largest[: -MAX_REORDERED - 1]

    def _begins_again(self, position: int, latest: int, latest_dts: int | None, largest: list[int]) -> bool:
        """Whether a picture that is not later than one before it begins a recording, or goes on with another clock.

        It may as well be stored behind those that are shown after it, or its clock may be unsteady.
        """
        packet = self._packets[position]
        assert packet.pts is not None
        is_far_back = latest - packet.pts > self._far_back
        if self._has_decode_times and self._is_reordered:
            # FFmpeg makes up a time of decoding for a lone picture, which may be later than its presentation.
            is_back = packet.dts is not None and latest_dts is not None and packet.dts < latest_dts
            is_made_up = packet.dts is not None and packet.dts > packet.pts
            return (is_back or is_made_up) and (is_far_back or (packet.is_keyframe and self._knows_keyframes))
        if packet.pts == latest:
            # A picture without a time of its own.
            return False
        if self._is_reordered and len(largest) > MAX_REORDERED and packet.pts < largest[0]:
            return True
        if self._knows_keyframes:
            # All that is stored before a keyframe is shown before it.
            is_begun = packet.is_keyframe and self._stays_behind(position, latest, _NUM_BEHIND_KEYFRAME)
            return is_begun or (is_far_back and not self._is_reordered)
        return not self._is_reordered and (is_far_back or self._stays_behind(position, latest, _NUM_BEHIND))

    def _stays_behind(self, position: int, latest: int, num_packets: int) -> bool:
        """Whether the clock does not soon come to where it was, as an unsteady one would."""
        following = self._packets[position + 1 : position + 1 + num_packets]
        return all(packet.pts is None or packet.pts <= latest for packet in following)


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
