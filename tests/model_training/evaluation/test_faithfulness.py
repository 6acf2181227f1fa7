"""Deletion and insertion: the frames that are deleted, and the verdict on attention."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_training.datasets.appearance import picture_envelope
from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.decoding import decode_examples
from model_training.datasets.examples import Example
from model_training.evaluation.faithfulness import even_order, measure_faithfulness, show_nearest_kept, spread_examples
from service.inference.manifest import Manifest, read_manifest
from tests.support.videos import painted


def test_a_deleted_frame_shows_the_nearest_kept_frame_the_earlier_of_two() -> None:
    frames = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    assert show_nearest_kept(frames, np.array([4, 0]))[:, 0, 0, 0].tolist() == [0, 0, 0, 4, 4, 4]
    assert show_nearest_kept(frames, np.array([5, 1]))[:, 0, 0, 0].tolist() == [1, 1, 1, 1, 5, 5]


@pytest.mark.parametrize("num_positions", [1, 2, 7, 16])
def test_even_order_takes_each_position_once_and_keeps_gaps_even(num_positions: int) -> None:
    order = even_order(num_positions)
    assert sorted(order.tolist()) == list(range(num_positions))
    assert order[: min(3, num_positions)].tolist() == {1: [0], 2: [1, 0], 7: [3, 0, 6], 16: [8, 0, 15]}[num_positions]


def test_selected_examples_are_evenly_spaced() -> None:
    examples = [Example(Path(str(number)), ("a",), "g") for number in range(10)]
    assert [example.path.name for example in spread_examples(examples, 3)] == ["0", "4", "9"]
    assert spread_examples(examples, 20) == examples


@pytest.mark.tensorflow
def test_only_attention_that_affects_the_prediction_is_an_explanation(grey_models_dir: Path, tmp_path: Path) -> None:
    """The grey model predicts by brightness and attends to bright frames: an explanation for `bright` only."""
    from model_training.evaluation.exported_model import ExportedModel  # noqa: PLC0415

    manifest = read_manifest(grey_models_dir / "grey" / "1")
    model = ExportedModel(grey_models_dir / "grey" / "1")
    rng = np.random.default_rng(0)
    of: dict[str, Any] = {}
    for label, lights in (("bright", (140, 250)), ("dark", (0, 100))):
        examples = [
            Example(painted(tmp_path / f"{label}-{n}.mp4", rng.integers(*lights, 16).tolist()), (label,), f"group-{n}")
            for n in range(5)
        ]
        clips = _first_clips(examples, manifest, tmp_path)
        of[label] = measure_faithfulness(model, manifest, clips)
    assert of["bright"].attention_is_explanation is True
    assert of["bright"].deletion.attention[0] == of["bright"].insertion.attention[-1]
    assert of["bright"].deletion.gain_over_random_interval.low > 0
    assert of["dark"].attention_is_explanation is False
    assert of["dark"].deletion.gain_over_random < 0
    one_group = [replace(clip, example=replace(clip.example, group="same")) for clip in clips]
    assert measure_faithfulness(model, manifest, one_group).attention_is_explanation is None


@pytest.mark.tensorflow
def test_cached_clips_are_measured_without_the_video_files(grey_models_dir: Path, tmp_path: Path) -> None:
    from model_training.evaluation.exported_model import ExportedModel  # noqa: PLC0415

    directory = grey_models_dir / "grey" / "1"
    manifest = read_manifest(directory)
    examples = [Example(painted(tmp_path / f"{n}.mp4", [50 * n] * 16), ("dark",), f"group-{n}") for n in range(3)]
    clips = _first_clips(examples, manifest, tmp_path)
    for example in examples:
        example.path.unlink()
    assert measure_faithfulness(ExportedModel(directory), manifest, clips).num_clips == 3
    assert picture_envelope(clips).num_clips == 3


def _first_clips(examples: Sequence[Example], manifest: Manifest, directory: Path) -> list[CachedClip]:
    """The first clip of each example, from the clip cache."""
    return [video.clips[0] for video in decode_examples(examples, manifest.clip, directory / "cache").videos]


class _SeesTheFirstFrame:
    """Predicts by the first frame, with uniform attention over time steps, as a network without attention."""

    def __init__(self, num_frames_per_step: int) -> None:
        self.num_frames_per_step = num_frames_per_step

    def predict_clips(self, frames: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], ...]:
        bright = frames[0, 0].mean() / 255
        of_steps = valid.reshape(1, -1, self.num_frames_per_step)
        fractions = of_steps / np.maximum(of_steps.sum(axis=2, keepdims=True), 1)
        attention = fractions.reshape(1, -1) / of_steps.any(axis=2).sum()
        return np.array([[1 - bright, bright]], np.float32), attention.astype(np.float32)


@pytest.mark.parametrize("num_frames_per_step", [1, 4])
def test_uniform_attention_is_never_an_explanation(
    num_frames_per_step: int, grey_models_dir: Path, tmp_path: Path
) -> None:
    # If ties were broken by time, the order of time would explain the prediction.
    manifest = read_manifest(grey_models_dir / "grey" / "1")
    clip = manifest.clip.model_copy(update={"num_frames": 8, "frames_per_second": 8.0})
    manifest = manifest.model_copy(update={"clip": clip, "num_frames_per_step": num_frames_per_step})
    examples = [Example(painted(tmp_path / f"{n}.mp4", [n] + [250] * 6), ("dark",), f"group-{n}") for n in range(5)]
    clips = _first_clips(examples, manifest, tmp_path)
    found = measure_faithfulness(_SeesTheFirstFrame(num_frames_per_step), manifest, clips)
    assert found.attention_is_explanation is False
    for curve in (found.deletion, found.insertion):
        assert curve.attention == curve.random
        assert curve.gain_over_random == 0
