"""Segments of videos that are too long to be decoded whole."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from model_training.datasets.appearance import picture_envelope
from model_training.datasets.decoding import decode_examples
from model_training.datasets.examples import Example
from model_training.datasets.segments import SegmentPastEnd, open_segment
from model_training.errors import TrainingDataError
from service.inference.manifest import read_manifest
from service.video.clip import ClipSpec
from service.video.errors import VideoTooLarge
from tests.support.videos import painted

SPEC = ClipSpec(num_frames=4, height=24, width=32, frames_per_second=0.1, stride_seconds=40)


@pytest.fixture
def long_video(tmp_path: Path) -> Path:
    """A video of twelve minutes, one frame every ten seconds; frame i has grey level 3 i."""
    return painted(tmp_path / "long.mp4", range(0, 216, 3), rate=Fraction(1, 10))


def test_segment_of_a_video_that_exceeds_the_limits_can_be_decoded(long_video: Path) -> None:
    with open_segment(long_video, SPEC, (640.0, 680.0)) as (_, clips):
        (clip,) = clips
    assert clip.times.times_seconds.tolist() == [640, 650, 660, 670]
    assert clip.frames.mean(axis=(1, 2, 3)) == pytest.approx([192, 195, 198, 201], abs=2)
    with pytest.raises(VideoTooLarge), open_segment(long_video, SPEC, None):
        pass
    with pytest.raises(SegmentPastEnd, match="the video ends at 720 s"), open_segment(long_video, SPEC, (720.0, 800.0)):
        pass


def test_the_envelope_of_a_segment_covers_its_frames_only(long_video: Path, tmp_path: Path) -> None:
    segment = Example(long_video, ("x",), "g", segment_seconds=(640.0, 680.0))
    past = replace(segment, segment_seconds=(720.0, 800.0), where="manifest.csv, line 3")
    decoding = decode_examples([segment, past], SPEC, tmp_path / "cache")
    (video,), (unreadable,) = decoding.videos, decoding.unreadable
    assert picture_envelope(video.clips).luminance.p1 == pytest.approx(196, abs=4)
    assert (unreadable.example, unreadable.reason) == (past, "the video ends at 720 s")


@pytest.mark.tensorflow
def test_a_segment_of_a_long_video_is_measured_in_every_way(
    long_video: Path, grey_models_dir: Path, tmp_path: Path
) -> None:
    from model_training.evaluation.exported_model import ExportedModel, predict_examples
    from model_training.evaluation.faithfulness import measure_faithfulness
    from model_training.evaluation.robustness import measure_robustness

    directory = grey_models_dir / "grey" / "1"
    model = ExportedModel(directory)
    manifest = read_manifest(directory)
    # Level 66 is dark, level 201 is bright.
    examples = [
        Example(long_video, (label,), label, segment_seconds=(second, second + 20))
        for label, second in (("dark", 220.0), ("bright", 670.0))
    ]
    answers = predict_examples(model, manifest, examples)
    assert [manifest.labels[answer.probabilities.argmax()] for answer in answers] == ["dark", "bright"]
    decoding = decode_examples(examples, manifest.clip, tmp_path / "cache")
    clips = [video.clips[0] for video in decoding.videos]
    assert measure_faithfulness(model, manifest, clips).num_clips == 2
    robustness = measure_robustness(model, manifest, examples)
    assert robustness.clean_accuracy == 1
    assert robustness.changes["half the width and height"].agreement == 1
    past = replace(examples[0], segment_seconds=(720.0, 800.0), where="manifest.csv, line 3")
    with pytest.raises(TrainingDataError, match=r"^manifest\.csv, line 3: .*: the video ends at 720 s$"):
        predict_examples(model, manifest, [past])
