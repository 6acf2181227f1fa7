"""Frame order and frame times from the timestamps of containers."""

import pytest

from service.video.clock import ClockRules, PacketFacts
from service.video.orientation import Orientation
from service.video.timeline import Timeline


def packet(pts: int | None, **facts: object) -> PacketFacts:
    return PacketFacts(**({"pts": pts, "duration": 0, "is_keyframe": False, "is_discarded": False} | facts))  # type: ignore[arg-type]


def timeline(*packets: PacketFacts, frame_rate: float | None = None, reorder_depth: int = 0) -> Timeline:
    return Timeline.from_packets(packets, ClockRules(0.1, reorder_depth=reorder_depth), frame_rate, 0)


def test_frames_are_ordered_by_time_and_count_from_the_first() -> None:
    line = timeline(packet(5), packet(8), packet(6), packet(7), reorder_depth=1)
    assert line.packet_order.tolist() == [0, 3, 1, 2]
    assert line.frame_order.tolist() == [0, 1, 2, 3]
    assert line.frame_times_seconds == pytest.approx([0, 0.1, 0.2, 0.3])
    assert line.frame_rate == pytest.approx(10)
    assert line.start_seconds == pytest.approx(0.5)


def test_negative_and_enormous_timestamps_are_exact() -> None:
    assert timeline(packet(-3), packet(-1)).frame_times_seconds == pytest.approx([0, 0.2])
    far = 2**60
    assert timeline(packet(far), packet(far + 1)).frame_times_seconds.tolist() == [0, 0.1]


def test_the_last_frame_lasts_for_its_duration_or_for_a_typical_step() -> None:
    assert timeline(packet(0), packet(1, duration=5)).duration_seconds == pytest.approx(0.6)
    assert timeline(packet(0), packet(2)).duration_seconds == pytest.approx(0.4)
    assert timeline(packet(0), frame_rate=4.0).duration_seconds == pytest.approx(0.25)
    assert timeline(packet(0)).duration_seconds == pytest.approx(0.04)


def test_durations_far_below_the_frame_step_are_ignored() -> None:
    assert timeline(*(packet(40 * number, duration=1) for number in range(4))).duration_seconds == pytest.approx(16)


def test_discarded_packets_are_decoded_but_not_frames() -> None:
    line = timeline(packet(0, is_discarded=True), packet(1, is_discarded=True), packet(2), packet(3))
    assert len(line.packet_order) == 4
    assert line.frame_order.tolist() == [2, 3]
    assert line.frame_times_seconds == pytest.approx([0, 0.1])


def test_the_second_field_of_a_picture_belongs_to_the_first() -> None:
    line = timeline(packet(0), packet(None, is_second_field=True), packet(2), packet(3, is_second_field=True))
    assert line.packet_order.tolist() == [0, 0, 1, 1]
    assert line.frame_order.tolist() == [0, 1]
    assert line.frame_times_seconds == pytest.approx([0, 0.2])


def test_pictures_without_a_time_of_their_own_are_shown_between_their_neighbours() -> None:
    line = timeline(packet(0), packet(None), packet(4), packet(None))
    assert line.is_order_known
    assert line.packet_order.tolist() == [0, 1, 2, 3]
    assert line.frame_times_seconds == pytest.approx([0, 0.2, 0.4, 0.6])


def test_pictures_that_share_a_time_are_shown_between_their_neighbours() -> None:
    line = timeline(packet(0), packet(0), packet(4), packet(4))
    assert line.frame_times_seconds == pytest.approx([0, 0.2, 0.4, 0.6])


def test_reordered_pictures_with_missing_times_are_counted_by_decode_times() -> None:
    packets = [packet(2, dts=0), packet(None), packet(8, dts=4), packet(None), packet(4, dts=8), packet(None)]
    line = timeline(*packets, reorder_depth=1)
    assert not line.is_order_known
    assert line.frame_times_seconds == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_an_unsteady_clock_does_not_reorder_pictures_stored_in_presentation_order() -> None:
    line = timeline(*(packet(pts, dts=pts) for pts in (0, 10, 20, 19, 40)))
    assert line.packet_order.tolist() == [0, 1, 2, 3, 4]
    assert line.frame_times_seconds == pytest.approx([0, 1, 2, 3, 4])


@pytest.mark.parametrize("pts", [None, 7])
def test_without_usable_timestamps_frames_are_counted_at_the_claimed_rate(pts: int | None) -> None:
    line = timeline(*[packet(pts)] * 4, frame_rate=2.0)
    assert line.is_rate_assumed
    assert line.frame_times_seconds.tolist() == [0, 0.5, 1, 1.5]
    assert line.duration_seconds == pytest.approx(2)


def test_frames_are_counted_by_the_durations_of_packets_before_the_claimed_rate() -> None:
    line = timeline(*[packet(0, duration=1)] * 4, frame_rate=3.0)
    assert line.frame_times_seconds == pytest.approx([0, 0.1, 0.2, 0.3])
    far_too_fast = timeline(*[packet(None)] * 4, frame_rate=90_000.0)
    assert far_too_fast.frame_rate == pytest.approx(25)


def test_ascending_timestamps_of_reordered_pictures_are_decode_times() -> None:
    packets = [packet(ticks, dts=ticks) for ticks in (4, 5, 9)]
    line = timeline(*packets, reorder_depth=1)
    assert not line.is_order_known
    assert not line.is_rate_assumed
    assert line.frame_times_seconds == pytest.approx([0, 0.1, 0.5])
    assert timeline(*packets).is_order_known
    assert timeline(packet(1), packet(3), packet(2), reorder_depth=1).is_order_known


def test_timestamps_with_more_reordering_than_the_stream_allows_are_ignored() -> None:
    packets = [packet(pts) for pts in (0, 4, 5, 1, 2, 3)]
    assert timeline(*packets, reorder_depth=2).packet_order.tolist() == [0, 4, 5, 1, 2, 3]
    line = timeline(*packets, reorder_depth=1)
    assert not line.is_order_known
    assert line.frame_times_seconds == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_hidden_reordered_picture_without_a_time_leaves_the_order_to_the_decoder() -> None:
    packets = [packet(0), packet(2), packet(1), packet(None, is_discarded=True)]
    line = timeline(*packets, reorder_depth=1)
    assert not line.is_order_known
    assert line.frame_times_seconds == pytest.approx([0, 0.1, 0.2])


def test_leading_pictures_precede_the_first_keyframe() -> None:
    assert not timeline(packet(0, is_keyframe=True), packet(1)).has_pictures_before_first_keyframe
    leading = timeline(packet(2, is_keyframe=True), packet(1), packet(3), reorder_depth=1)
    assert leading.has_pictures_before_first_keyframe
    begun = leading.starting_at(1)
    assert begun.frame_order.tolist() == [1, 2]
    assert begun.frame_times_seconds == pytest.approx([0, 0.1])
    assert begun.duration_seconds == pytest.approx(0.2)
    assert begun.start_seconds == pytest.approx(0.2)


def test_an_orientation_holds_until_the_next_one() -> None:
    turned = Orientation(rotation_degrees=90)
    line = timeline(packet(0, orientation=turned), packet(1), packet(2, orientation=Orientation()), packet(3))
    assert [line.orientation_at(order) for order in range(4)] == [turned, turned, Orientation(), Orientation()]
    assert timeline(packet(0), packet(1)).orientation_at(1) == Orientation()


def test_damaged_packets_at_a_joint_are_not_counted() -> None:
    first = [packet(number, dts=number, is_corrupt=number == 8, is_keyframe=number == 0) for number in range(10)]
    assert timeline(*first, *first[:5]).num_read_errors == 0
    assert timeline(*first).num_read_errors == 1


def test_rounding_to_milliseconds_is_not_a_variable_rate() -> None:
    ticks = [round(number * 1000 / 30) for number in range(30)]
    line = Timeline.from_packets([packet(pts) for pts in ticks], ClockRules(0.001), None, 0)
    assert not line.is_variable_frame_rate
    assert timeline(packet(0), packet(1), packet(3)).is_variable_frame_rate


def test_a_new_decoder_configuration_forbids_jumps() -> None:
    assert timeline(packet(0, is_new_setup=True), packet(1)).can_jump
    assert not timeline(packet(0), packet(1, is_new_setup=True)).can_jump


def test_temporal_layers_are_counted() -> None:
    assert timeline(packet(0), packet(1)).num_temporal_layers == 1
    assert timeline(packet(0), packet(1, temporal_layer=2)).num_temporal_layers == 3
