"""The attention chart: positions and heights of its bars."""

from framewise.cli.chart import attention_chart, attention_columns
from framewise.schemas.prediction import FrameAttention


def frame(time_seconds: float, attention: float, clip: int = 0) -> FrameAttention:
    """A sampled frame of a video with 10 frames per second."""
    return FrameAttention(clip=clip, index=round(time_seconds * 10), time_seconds=time_seconds, attention=attention)


def test_a_bar_starts_at_its_frame_and_leaves_a_gap() -> None:
    columns = attention_columns([frame(0.0, 0.2), frame(0.5, 0.8)], duration_seconds=1.0, num_columns=10)
    assert columns == [0.2, 0.2, 0.2, 0.2, 0.0, 0.8, 0.8, 0.8, 0.8, 0.0]


def test_a_frame_of_two_clips_has_its_higher_attention() -> None:
    columns = attention_columns([frame(0.0, 0.1), frame(0.0, 0.6, clip=1)], duration_seconds=1.0, num_columns=4)
    assert max(columns) == 0.6


def test_a_column_of_several_frames_shows_the_highest_attention() -> None:
    frames = [frame(step / 10, 0.9 if step == 7 else 0.0) for step in range(40)]
    columns = attention_columns(frames, duration_seconds=4.0, num_columns=8)
    assert columns == [0.0, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_the_frame_with_the_highest_attention_has_full_height_and_is_named() -> None:
    chart = attention_chart([frame(0.0, 0.25), frame(0.5, 0.5)], duration_seconds=1.0, num_columns=10).plain
    lines = chart.splitlines()
    assert lines[0].strip() == "attention per frame, most at 0.50 s (50.0%)"
    assert lines[1].strip() == "████"
    assert lines[6].strip() == "████ ████"
    assert lines[-1].strip() == "0   1.00 s"


def test_a_frame_at_the_end_of_the_video_has_a_bar() -> None:
    assert attention_columns([frame(1.0, 1.0)], duration_seconds=1.0, num_columns=5)[-1] == 1.0


def test_a_video_of_zero_length_has_a_chart() -> None:
    assert max(attention_columns([frame(0.0, 1.0)], duration_seconds=0.0, num_columns=5)) == 1.0
