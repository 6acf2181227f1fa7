"""Repairs timestamps where a file's clock goes back or leaps, as players do. Pure arithmetic over timestamps.

The clock starts again in joined recordings and in streams whose encoder was restarted.
"""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from service.video.orientation import Orientation

_FAR_BACK_SECONDS = 1.0
"""A clock that goes back by more was restarted; by less, it may only be unsteady."""
_NEARBY_SECONDS = 1.0
_NUM_BEHIND_KEYFRAME, _NUM_BEHIND = 1, 2
"""After a restart, at least so many further pictures stay below the clock's old value."""
_MAX_LEAP_SECONDS = 10.0
"""A longer gap is a leap in a container whose clock may leap (FFmpeg's `dts_delta_threshold`)."""
_MAX_GAP_SECONDS = 30 * 3600.0
"""A longer gap is a leap in any container (FFmpeg's `dts_error_threshold`)."""
_MIN_STRAY_SECONDS, _STRAY_FACTOR, _MIN_DELAYS = 1.0, 20, 4
"""Limits of the delay from decoding to presentation: seconds, or a multiple of the typical delay or frame step."""
MAX_REORDERED = 16
"""Most pictures that any codec stores after a picture and shows before it."""
_SECONDS_WITHOUT_STEPS = 0.04


class PacketFacts(NamedTuple):
    """Properties of one packet; times in ticks, `duration` 0 if unknown.

    A discarded packet is decoded but not shown. `is_new_setup` changes the decoder's configuration. A tuple, because
    one is created for every packet and a frozen dataclass takes three times as long.
    """

    pts: int | None
    duration: int
    is_keyframe: bool
    is_discarded: bool
    dts: int | None = None
    temporal_layer: int = 0
    is_new_setup: bool = False
    is_second_field: bool = False
    """Whether it completes the picture of the packet before it."""
    is_corrupt: bool = False
    orientation: Orientation | None = None
    """Orientation that the stream states from this picture on."""


@dataclass(frozen=True, slots=True)
class ClockRules:
    """Properties of a container's clock."""

    seconds_per_tick: float
    may_leap: bool = False
    """Whether the clock may leap forward, as in MPEG-TS."""
    is_index: bool = False
    """Whether times come from an index of the whole file, as in MP4, so that they go back only on purpose."""
    has_decode_times: bool = True
    """Whether decode times come from the file and are not derived from presentation times."""
    reorder_depth: int = 0
    """Most pictures that are stored before a picture and shown after it."""

    @property
    def is_reordered(self) -> bool:
        """Whether the stream stores pictures in another order than they are shown."""
        return self.reorder_depth > 0


@dataclass(frozen=True, slots=True)
class RepairedPackets:
    """Packets with a steady clock, and the positions at which the file's clock restarted or leaped."""

    packets: list[PacketFacts]
    restarts: list[int]
    leaps: list[int]


def repair_clock(packets: Sequence[PacketFacts], rules: ClockRules) -> RepairedPackets:
    """Shift the timestamps after each restart or leap, so that its first picture follows the one before it.

    Packets are in file order, and so are the results. A presentation time far from its decode time is removed.
    """
    packets = _without_stray_times(packets, rules)
    breaks = [] if rules.is_index else list(_Breaks(packets, rules))
    if not breaks:
        return RepairedPackets(list(packets), [], [])
    bounds = [*(position for position, _ in breaks), len(packets)]
    shifted = list(packets[: bounds[0]])
    end = _End(rules.seconds_per_tick)
    end.move_after(shifted)
    shift_before = 0
    for first, last in pairwise(bounds):
        part = packets[first:last]
        is_late = _late(part, packets[max(0, first - MAX_REORDERED) : first], rules.seconds_per_tick)
        begins = [packet.pts for packet, late in zip(part, is_late, strict=True) if packet.pts is not None and not late]
        shift = end.ticks - min(begins)
        part = [_shifted(packet, shift_before if late else shift) for packet, late in zip(part, is_late, strict=True)]
        end.move_after(part)
        shifted += part
        shift_before = shift
    return RepairedPackets(
        shifted,
        [position for position, is_leap in breaks if not is_leap],
        [position for position, is_leap in breaks if is_leap],
    )


def _without_stray_times(packets: Sequence[PacketFacts], rules: ClockRules) -> Sequence[PacketFacts]:
    """Remove presentation times that are far from the packet's decode time: they are damaged or invented."""
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
    """Which pictures of a part have times of the part before it, because they are stored after its first picture."""
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
    """Yields each clock break in file order: (position, whether the clock leaps forward)."""

    def __init__(self, packets: Sequence[PacketFacts], rules: ClockRules) -> None:
        self._packets = packets
        self._is_reordered = rules.is_reordered
        self._far_back = _FAR_BACK_SECONDS / rules.seconds_per_tick
        self._max_leap = (_MAX_LEAP_SECONDS if rules.may_leap else _MAX_GAP_SECONDS) / rules.seconds_per_tick
        timed = [packet for packet in packets if packet.pts is not None and not packet.is_discarded]
        self._has_decode_times = rules.has_decode_times and all(packet.dts is not None for packet in timed)
        # If all pictures are marked as keyframes, a keyframe does not show where a recording begins.
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
        """Whether the clock restarts at a picture that is not later than one before it.

        If not, the picture is reordered, or the clock is unsteady.
        """
        packet = self._packets[position]
        assert packet.pts is not None
        is_far_back = latest - packet.pts > self._far_back
        if self._has_decode_times and self._is_reordered:
            # FFmpeg invents a decode time for a single picture, which may be later than its presentation time.
            is_back = packet.dts is not None and latest_dts is not None and packet.dts < latest_dts
            is_made_up = packet.dts is not None and packet.dts > packet.pts
            return (is_back or is_made_up) and (is_far_back or (packet.is_keyframe and self._knows_keyframes))
        if packet.pts == latest:
            # The picture has no time of its own.
            return False
        if self._is_reordered and len(largest) > MAX_REORDERED and packet.pts < largest[0]:
            return True
        if self._knows_keyframes:
            # Every picture stored before a keyframe is shown before it.
            is_begun = packet.is_keyframe and self._stays_behind(position, latest, _NUM_BEHIND_KEYFRAME)
            return is_begun or (is_far_back and not self._is_reordered)
        return not self._is_reordered and (is_far_back or self._stays_behind(position, latest, _NUM_BEHIND))

    def _stays_behind(self, position: int, latest: int, num_packets: int) -> bool:
        """Whether the clock stays below its old value, which an unsteady clock soon passes."""
        following = self._packets[position + 1 : position + 1 + num_packets]
        return all(packet.pts is None or packet.pts <= latest for packet in following)


class _End:
    """The end of the packets so far, in `ticks`."""

    def __init__(self, seconds_per_tick: float) -> None:
        self.ticks = 0
        self._step = max(1, round(_SECONDS_WITHOUT_STEPS / seconds_per_tick))

    def move_after(self, packets: Sequence[PacketFacts]) -> None:
        """Move `ticks` to the end of the last of `packets`."""
        timed = [packet for packet in packets if packet.pts is not None]
        if not timed:
            return
        last = max(timed, key=lambda packet: packet.pts or 0)
        pts = sorted({packet.pts or 0 for packet in timed})
        if len(pts) > 1:
            self._step = max(1, int(median(after - before for before, after in pairwise(pts))))
        self.ticks = (last.pts or 0) + (last.duration or self._step)
