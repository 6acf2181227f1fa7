"""Selection of frames and packets: small cases by hand, and properties that always hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.video.clip import ClipSpec
from service.video.sampling import FRAME, REFERENCE, SKIP, plan_clips, schedule_packets, window_starts


def spec(num_frames: int = 4, frames_per_second: float = 2, stride_seconds: float = 1) -> ClipSpec:
    return ClipSpec(
        num_frames=num_frames, height=8, width=8, frames_per_second=frames_per_second, stride_seconds=stride_seconds
    )


SPECS = st.builds(
    spec,
    num_frames=st.integers(1, 40),
    frames_per_second=st.floats(0.25, 120),
    stride_seconds=st.floats(0.05, 20),
)


@pytest.mark.parametrize(
    ("duration_seconds", "starts"),
    [
        (0.1, [0]),
        (2.0, [0]),
        (2.4, [0]),
        (3.0, [0, 1]),
        (3.5, [0, 0.75, 1.5]),
        (5.0, [0, 1, 2, 3]),
    ],
)
def test_windows_cover_the_video_and_the_last_ends_with_it(duration_seconds: float, starts: list[float]) -> None:
    assert window_starts(duration_seconds, spec()) == pytest.approx(starts)


@given(st.floats(0.01, 500), SPECS)
def test_windows_ascend_from_zero_never_further_apart_than_the_stride(duration_seconds: float, spec: ClipSpec) -> None:
    starts = window_starts(duration_seconds, spec)
    assert starts[0] == 0
    assert np.all(np.diff(starts) > 0)
    assert np.all(np.diff(starts) <= spec.stride_seconds * (1 + 1e-9))
    if len(starts) > 1:
        assert starts[-1] + spec.window_seconds == pytest.approx(duration_seconds)
    else:
        assert duration_seconds < spec.window_seconds + 1 / spec.frames_per_second


def test_each_sample_time_gets_the_frame_on_screen() -> None:
    # Sample times are 0.25, 0.75, 1.25 and 1.75 s.
    (clip,) = plan_clips(np.array([0, 0.25, 0.7, 1.3]), 2.0, spec())
    assert clip.frame_indices.tolist() == [1, 2, 2, 3]
    assert clip.times_seconds.tolist() == [0.25, 0.7, 0.7, 1.3]
    assert clip.valid.all()
    assert (clip.start_seconds, clip.end_seconds) == (0, 2)


def test_sample_times_after_the_end_are_invalid_and_repeat_the_last_time() -> None:
    (clip,) = plan_clips(np.array([0, 0.5]), 1.0, spec())
    assert clip.frame_indices.tolist() == [0, 1, -1, -1]
    assert clip.valid.tolist() == [True, True, False, False]
    assert clip.times_seconds.tolist() == [0, 0.5, 0.5, 0.5]
    assert clip.end_seconds == 1


def test_one_frame_is_enough_for_a_clip() -> None:
    (clip,) = plan_clips(np.zeros(1), 0.001, spec())
    assert clip.frame_indices.tolist() == [0, -1, -1, -1]


def test_a_frame_due_exactly_at_a_sample_time_is_on_screen() -> None:
    times = np.arange(30, dtype=np.float64) * (1001 / 30000)
    (clip,) = plan_clips(times, 30 * 1001 / 30000, spec(30, 30000 / 1001, 1).model_copy())
    assert clip.frame_indices.tolist() == list(range(30))


@given(st.lists(st.floats(0.001, 2), min_size=0, max_size=60), st.floats(0.001, 2), SPECS)
def test_each_sample_time_gets_the_latest_frame_not_after_it(gaps: list[float], last: float, spec: ClipSpec) -> None:
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    duration = float(times[-1] + last)
    for clip in plan_clips(times, duration, spec):
        sample_times = clip.start_seconds + (np.arange(spec.num_frames) + 0.5) / spec.frames_per_second
        shown = clip.frame_indices[clip.valid]
        assert clip.valid[0]
        assert np.all(np.diff(clip.valid.astype(int)) <= 0)
        assert np.all(np.diff(clip.times_seconds) >= 0)
        assert np.all(times[shown] <= sample_times[clip.valid] + 1e-6)
        following = np.append(times, np.inf)[shown + 1]
        assert np.all(following > sample_times[clip.valid] - 1e-6)
        assert np.all(clip.frame_indices[~clip.valid] == -1)


def schedule(pts: list[int], keyframes: list[int], wanted: list[int]) -> str:
    """One letter per packet: `.` skipped, `r` reference, `F` wanted frame."""
    is_keyframe = np.isin(np.arange(len(pts)), keyframes)
    actions = schedule_packets(np.array(pts), is_keyframe, np.array(wanted))
    return "".join({SKIP: ".", REFERENCE: "r", FRAME: "F"}[action] for action in actions)


@pytest.mark.parametrize(
    ("pts", "keyframes", "wanted", "expected"),
    [
        pytest.param([0, 1, 2, 3], [0], [2], "rrF.", id="no further than the last wanted frame"),
        pytest.param([0, 1, 2, 3], [0, 2], [3], "..rF", id="from the nearest keyframe"),
        pytest.param([0, 1, 2, 3, 4, 5], [0, 2, 4], [1, 4], "rF..F.", id="jumps between groups"),
        pytest.param([0, 3, 1, 2], [0], [1], "rrF.", id="B-frames need the packets stored before them"),
        pytest.param([0, 1, 5, 3, 4, 6], [0, 2], [4], "rrrrF.", id="an open group needs the group before it"),
        pytest.param([0, 1, 5, 3, 4, 6], [0, 2], [6], "..rrrF", id="frames after the keyframe of an open group do not"),
        pytest.param([0, 2, 1, 3], [0, 1, 2], [3], "rrrF", id="keyframes out of order are not jumped to"),
        pytest.param([0, 1, 2], [], [2], "rrF", id="no keyframe at all"),
        pytest.param([3, 0, 1, 2], [1], [3], "F...", id="a frame stored before the keyframe it follows"),
    ],
)
def test_only_packets_that_wanted_frames_need_are_decoded(
    pts: list[int], keyframes: list[int], wanted: list[int], expected: str
) -> None:
    assert schedule(pts, keyframes, wanted) == expected


@given(st.data(), st.integers(1, 50))
def test_every_wanted_packet_is_decoded_after_a_keyframe(data: st.DataObject, num_packets: int) -> None:
    pts = data.draw(st.permutations(range(num_packets)))
    keyframes = data.draw(st.sets(st.integers(0, num_packets - 1)))
    wanted = sorted(data.draw(st.sets(st.integers(0, num_packets - 1), min_size=1)))
    letters = schedule(list(pts), sorted(keyframes), wanted)
    assert [pts[position] for position, letter in enumerate(letters) if letter == "F"] == [
        p for p in pts if p in wanted
    ]
    for position, letter in enumerate(letters):
        begins_a_run = letter != "." and (position == 0 or letters[position - 1] == ".")
        assert not begins_a_run or position == 0 or position in keyframes
