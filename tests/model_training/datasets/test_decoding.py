"""Decoding of examples and the clip cache, on real videos."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.decoding import decode_examples, readable_videos
from model_training.datasets.examples import Example, read_examples
from model_training.errors import TrainingDataError
from service.video.clip import ClipSpec
from tests.support.videos import painted

SPEC = ClipSpec(num_frames=8, height=24, width=32, frames_per_second=2, stride_seconds=2)


def _clips(examples: list[Example], cache: Path, spec: ClipSpec = SPEC) -> list[CachedClip]:
    videos = readable_videos(decode_examples(examples, spec, cache), skip_unreadable=False)
    return [clip for video in videos for clip in video.clips]


def test_second_run_reads_the_same_pixels_from_the_cache(painted_dataset: Path, tmp_path: Path) -> None:
    examples = read_examples(painted_dataset)[:3]
    first = _clips(examples, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    second = _clips(examples, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    assert len(written) == 3
    for before, after in zip(first, second, strict=True):
        np.testing.assert_array_equal(before.frames(), after.frames())


def test_changed_spec_or_file_misses_the_cache(painted_dataset: Path, tmp_path: Path) -> None:
    examples = read_examples(painted_dataset)
    _clips(examples[:1], tmp_path)
    _clips(examples[:1], tmp_path, SPEC.model_copy(update={"height": 32}))
    changed = tmp_path / "changed.mp4"
    changed.write_bytes(examples[1].path.read_bytes())
    _clips([dataclasses.replace(examples[0], path=changed)], tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 3


@pytest.mark.parametrize("num_bytes", [0, 100])
def test_incomplete_cache_file_is_decoded_again(painted_dataset: Path, tmp_path: Path, num_bytes: int) -> None:
    examples = read_examples(painted_dataset)[:1]
    whole, *_ = _clips(examples, tmp_path)
    pixels = whole.frames()
    whole.cache_file.write_bytes(whole.cache_file.read_bytes()[:num_bytes])
    again, *_ = _clips(examples, tmp_path)
    np.testing.assert_array_equal(again.frames(), pixels)


def test_is_in_event_marks_the_frames_inside_the_event(painted_dataset: Path, tmp_path: Path) -> None:
    for clip in _clips(read_examples(painted_dataset), tmp_path):
        assert clip.example.event_seconds is not None
        start, end = clip.example.event_seconds
        times = clip.times_seconds[clip.is_in_event]
        assert ((start <= times) & (times < end)).all()
        assert not clip.is_in_event[~clip.valid].any()


def test_segment_gives_only_its_own_frames(tmp_path: Path) -> None:
    # Frame i is grey level 10 + i, 8 a second: the segment from 2 to 4 s is levels 26 to 41.
    video = painted(tmp_path / "long.mp4", range(10, 74))
    segment = Example(video, ("x",), "g", segment_seconds=(2.0, 4.0))
    whole = dataclasses.replace(segment, segment_seconds=None)
    spec = SPEC.model_copy(update={"frames_per_second": 4.0})
    (clip,) = _clips([segment], tmp_path / "cache", spec)
    levels = clip.frames()[clip.valid].mean(axis=(1, 2, 3))
    assert clip.valid.all()
    assert ((clip.times_seconds >= 2) & (clip.times_seconds < 4)).all()
    np.testing.assert_allclose(levels, 10 + 8 * clip.times_seconds, atol=2)
    assert len(_clips([whole], tmp_path / "cache", spec)) > 1


def test_segment_is_cut_at_the_end_of_the_video_and_rejected_past_it(tmp_path: Path) -> None:
    video = painted(tmp_path / "short.mp4", range(10, 34))
    late = Example(video, ("x",), "g", segment_seconds=(2.0, 9.0))
    (clip,) = _clips([late], tmp_path / "cache")
    assert clip.valid.tolist() == [True] * 2 + [False] * 6
    past = dataclasses.replace(late, segment_seconds=(5.0, 9.0))
    with pytest.raises(TrainingDataError, match=r"short\.mp4 \(5 to 9 s\): the video ends at 3 s"):
        _clips([past], tmp_path / "cache")
    decoding = decode_examples([late, past], SPEC, tmp_path / "cache")
    assert [video.example for video in readable_videos(decoding, skip_unreadable=True)] == [late]


def test_unreadable_video_is_named_and_can_be_skipped(painted_dataset: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video at all")
    good = read_examples(painted_dataset)[0]
    decoding = decode_examples([Example(broken, ("vanish",), "g"), good], SPEC, tmp_path / "cache")
    with pytest.raises(TrainingDataError, match=r"broken\.mp4: .*--skip-unreadable"):
        readable_videos(decoding, skip_unreadable=False)
    assert [video.example for video in readable_videos(decoding, skip_unreadable=True)] == [good]
    assert [one.example.path for one in decoding.unreadable] == [broken]


def test_missing_file_error_names_the_manifest_line(tmp_path: Path) -> None:
    example = Example(tmp_path / "gone.mp4", ("x",), "g", where="manifest.csv, line 4")
    with pytest.raises(TrainingDataError, match=r"^manifest\.csv, line 4: .*gone\.mp4: No such file or directory$"):
        _clips([example], tmp_path / "cache")
