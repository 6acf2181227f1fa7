"""Batch sizes that keep model calls short."""

from service.inference.call_times import CallTimes


def test_a_batch_size_is_left_out_after_a_call_that_took_too_long() -> None:
    times = CallTimes(max_call_seconds=0.1)
    assert times.is_short_enough(4)
    times.record(1, 0.04)
    times.record(2, 0.08)
    times.record(4, 0.16)
    assert [times.is_short_enough(size) for size in (1, 2, 4)] == [True, True, False]


def test_a_batch_that_takes_little_longer_than_one_clip_is_used_however_long_that_is() -> None:
    times = CallTimes(max_call_seconds=0.1)
    times.record(4, 0.7)
    times.record(1, 0.5)
    assert times.is_short_enough(4)


def test_a_single_clip_is_always_allowed() -> None:
    times = CallTimes(max_call_seconds=0.1)
    times.record(1, 60)
    assert times.is_short_enough(1)


def test_a_size_that_was_slow_once_is_tried_again() -> None:
    times = CallTimes(max_call_seconds=0.1)
    times.record(4, 0.16)
    num_calls = 0
    while not times.is_short_enough(4):
        times.record(1, 0.04)
        num_calls += 1
    assert 40 < num_calls < 60
