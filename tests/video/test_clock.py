"""Repair of clocks that go back or leap. Numbers are timestamps in file order, ten ticks per second."""

from collections.abc import Sequence

import pytest

from service.video.clock import ClockRules, PacketFacts, repair_clock

KEYFRAME_EVERY = 4


def packets(
    *pts: int | None, dts: Sequence[int | None] | None = None, all_keyframes: bool = False
) -> list[PacketFacts]:
    """Packets of one tick each. A packet that is not later than the packet before it begins a group."""
    found = []
    for number, ticks in enumerate(pts):
        before = pts[number - 1] if number else None
        begins = number == 0 or (ticks is not None and before is not None and ticks <= before)
        found.append(
            PacketFacts(
                pts=ticks,
                duration=1,
                is_keyframe=begins or all_keyframes,
                is_discarded=False,
                dts=dts[number] if dts is not None else ticks,
            )
        )
    return found


def times(facts: Sequence[PacketFacts], **rules: object) -> list[int | None]:
    clock = ClockRules(0.1, **rules)  # type: ignore[arg-type]
    return [packet.pts for packet in repair_clock(facts, clock).packets]


def test_a_steady_clock_is_unchanged() -> None:
    facts = packets(5, 6, 7, 20)
    assert repair_clock(facts, ClockRules(0.1)).packets == facts


@pytest.mark.parametrize("all_keyframes", [False, True])
@pytest.mark.parametrize("length", [3, 5, 30])
def test_times_continue_after_a_clock_restart(length: int, *, all_keyframes: bool) -> None:
    part = range(100, 100 + length)
    found = repair_clock(packets(*part, *part, *part, all_keyframes=all_keyframes), ClockRules(0.1))
    assert [packet.pts for packet in found.packets] == list(range(100, 100 + 3 * length))
    assert found.restarts == [length, 2 * length]
    assert not found.leaps


def test_decode_times_are_shifted_too() -> None:
    facts = packets(2, 3, 2, 3, dts=[0, 1, 0, 1])
    found = repair_clock(facts, ClockRules(0.1, reorder_depth=2)).packets
    assert [packet.pts for packet in found] == [2, 3, 4, 5]
    assert [packet.dts for packet in found] == [0, 1, 2, 3]


def test_times_continue_where_the_clock_goes_far_back_within_a_group() -> None:
    facts = [packet._replace(is_keyframe=number == 0) for number, packet in enumerate(packets(100, 101, 50, 51))]
    assert times(facts) == [100, 101, 102, 103]


def test_an_unsteady_clock_is_no_restart() -> None:
    assert times(packets(0, 3, 2, 5, 4, 7, all_keyframes=True)) == [0, 3, 2, 5, 4, 7]
    facts = [packet._replace(is_keyframe=number == 0) for number, packet in enumerate(packets(0, 3, 2, 5, 4, 7))]
    assert times(facts) == [0, 3, 2, 5, 4, 7]


def test_reordered_pictures_are_no_restart() -> None:
    pts = [0, 4, 2, 1, 3, 8, 6, 5, 7]
    facts = [packet._replace(is_keyframe=number == 0) for number, packet in enumerate(packets(*pts))]
    for has_decode_times in (False, True):
        dts = list(range(-2, 7)) if has_decode_times else [None] * 9
        timed = [packet._replace(dts=ticks) for packet, ticks in zip(facts, dts, strict=True)]
        assert times(timed, reorder_depth=2, has_decode_times=has_decode_times) == pts


def test_keyframe_marks_on_all_pictures_show_no_restart() -> None:
    pts = [0, 4, 2, 1, 3, 8, 6, 5, 7]
    facts = packets(*pts, all_keyframes=True)
    assert times(facts, reorder_depth=2, has_decode_times=False) == pts


@pytest.mark.parametrize("seconds", [11, 20, 3600])
def test_times_continue_after_a_leap_of_a_clock_that_may_leap(seconds: int) -> None:
    begins = 100 + 10 * seconds
    found = repair_clock(packets(98, 99, begins, begins + 1), ClockRules(0.1, may_leap=True))
    assert [packet.pts for packet in found.packets] == [98, 99, 100, 101]
    assert found.leaps == [2]


def test_a_gap_of_some_seconds_is_kept() -> None:
    assert times(packets(0, 1, 91, 92), may_leap=True) == [0, 1, 91, 92]


def test_a_gap_of_an_hour_is_kept_and_a_gap_of_days_removed_where_clocks_do_not_leap() -> None:
    assert times(packets(0, 1, 36_001)) == [0, 1, 36_001]
    assert times(packets(0, 1, 2_000_001)) == [0, 1, 2]


def test_a_leap_between_reordered_pictures_leaves_no_gap() -> None:
    facts = packets(0, 2, 1, 3, 1005, 4, 1006, 1007, dts=[-2, -1, 0, 1, 1003, 3, 1004, 1005])
    found = times(facts, may_leap=True, reorder_depth=1)
    assert sorted(ticks for ticks in found if ticks is not None) == list(range(8))


def test_a_presentation_time_far_from_its_decode_time_is_removed() -> None:
    pts = [0, 3, 1, 400_002, 2, 5, 4, 6, 9, 7]
    assert times(packets(*pts, dts=range(-2, 8)), reorder_depth=2) == [0, 3, 1, None, 2, 5, 4, 6, 9, 7]
    assert times(packets(*pts), reorder_depth=0)[3] == 400_002


def test_times_from_an_index_may_go_back() -> None:
    assert times(packets(5, 6, 0, 1), is_index=True) == [5, 6, 0, 1]


def test_hidden_pictures_and_pictures_without_a_time_break_no_clock() -> None:
    facts = packets(5, None, 7)
    hidden = facts[0]._replace(pts=-100, is_discarded=True)
    assert times([facts[0], hidden, *facts[1:]]) == [5, -100, None, 7]
