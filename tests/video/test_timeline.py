"""Timestamps as containers give them, and when frames are shown by them."""

import pytest

from service.video.timeline import PacketFacts, Timeline


def packet(pts: int | None, **facts: object) -> PacketFacts:
    return PacketFacts(**({"pts": pts, "duration": 0, "is_keyframe": False, "is_discarded": False} | facts))  # type: ignore[arg-type]


def timeline(*packets: PacketFacts, frame_rate: float | None = None, **options: bool) -> Timeline:
    return Timeline.from_packets(list(packets), 0.1, frame_rate, 0, **options)


def test_frames_are_ordered_by_time_and_count_from_the_first() -> None:
    line = timeline(packet(5), packet(8), packet(6), packet(7))
    assert line.packet_pts.tolist() == [5, 8, 6, 7]
    assert line.frame_pts.tolist() == [5, 6, 7, 8]
    assert line.frame_times_seconds == pytest.approx([0, 0.1, 0.2, 0.3])
    assert line.frame_rate == pytest.approx(10)


def test_negative_and_enormous_timestamps_are_exact() -> None:
    assert timeline(packet(-3), packet(-1)).frame_times_seconds == pytest.approx([0, 0.2])
    far = 2**60
    assert timeline(packet(far), packet(far + 1)).frame_times_seconds.tolist() == [0, 0.1]


def test_the_last_frame_lasts_as_long_as_it_says_or_as_the_others_do() -> None:
    assert timeline(packet(0), packet(1, duration=5)).duration_seconds == pytest.approx(0.6)
    assert timeline(packet(0), packet(2)).duration_seconds == pytest.approx(0.4)
    assert timeline(packet(0), frame_rate=4.0).duration_seconds == pytest.approx(0.25)
    assert timeline(packet(0)).duration_seconds == pytest.approx(0.04)


def test_discarded_packets_are_decoded_but_not_frames() -> None:
    line = timeline(packet(0, is_discarded=True), packet(1, is_discarded=True), packet(2), packet(3))
    assert len(line.packet_pts) == 4
    assert line.frame_pts.tolist() == [2, 3]
    assert line.frame_times_seconds == pytest.approx([0, 0.1])


def test_a_packet_without_a_timestamp_among_others_belongs_to_the_one_before() -> None:
    line = timeline(packet(0), packet(None), packet(2), packet(None))
    assert line.is_timed
    assert line.packet_pts.tolist() == [0, 0, 2, 2]
    assert line.frame_pts.tolist() == [0, 2]


def test_without_timestamps_frames_are_counted_at_the_claimed_rate() -> None:
    line = timeline(*[packet(None)] * 4, frame_rate=2.0)
    assert not line.is_timed
    assert line.frame_times_seconds.tolist() == [0, 0.5, 1, 1.5]
    assert line.duration_seconds == pytest.approx(2)


def test_times_of_decoding_stand_in_for_missing_times_of_presentation() -> None:
    line = timeline(*(packet(None, dts=ticks) for ticks in (4, 5, 9)))
    assert line.frame_times_seconds == pytest.approx([0, 0.1, 0.5])


def test_ascending_timestamps_of_a_reordering_decoder_are_not_believed() -> None:
    packets = [packet(1, dts=0), packet(2, dts=1), packet(3, dts=2)]
    assert not timeline(*packets, can_reorder_silently=True).is_timed
    assert timeline(*packets).is_timed
    assert timeline(packet(1), packet(3), packet(2), can_reorder_silently=True).is_timed


def test_rounding_to_milliseconds_is_not_a_variable_rate() -> None:
    ticks = [round(number * 1000 / 30) for number in range(30)]
    assert not Timeline.from_packets([packet(pts) for pts in ticks], 0.001, None, 0).is_variable_frame_rate
    assert timeline(packet(0), packet(1), packet(3)).is_variable_frame_rate


def test_a_new_setup_on_the_way_forbids_jumps() -> None:
    assert timeline(packet(0, is_new_setup=True), packet(1)).can_jump
    assert not timeline(packet(0), packet(1, is_new_setup=True)).can_jump


def test_temporal_layers_are_counted() -> None:
    assert timeline(packet(0), packet(1)).num_temporal_layers == 1
    assert timeline(packet(0), packet(1, temporal_layer=2)).num_temporal_layers == 3
