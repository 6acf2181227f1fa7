"""Deletion and insertion: which frames go, and that attention is told from decoration."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_training.datasets.examples import Example
from model_training.evaluation.faithfulness import even_order, measure_faithfulness, show_nearest_kept, spread_examples
from service.inference.manifest import read_manifest
from tests.support.videos import painted


def test_a_deleted_frame_shows_the_nearest_kept_one_the_earlier_of_two() -> None:
    frames = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    assert show_nearest_kept(frames, np.array([4, 0]))[:, 0, 0, 0].tolist() == [0, 0, 0, 4, 4, 4]
    assert show_nearest_kept(frames, np.array([5, 1]))[:, 0, 0, 0].tolist() == [1, 1, 1, 1, 5, 5]


@pytest.mark.parametrize("num_places", [1, 2, 7, 16])
def test_even_order_takes_each_place_once_and_keeps_gaps_even(num_places: int) -> None:
    order = even_order(num_places)
    assert sorted(order.tolist()) == list(range(num_places))
    assert order[: min(3, num_places)].tolist() == {1: [0], 2: [1, 0], 7: [3, 0, 6], 16: [8, 0, 15]}[num_places]


def test_examples_are_spread_over_all_there_are() -> None:
    examples = [Example(Path(str(number)), ("a",), "g") for number in range(10)]
    assert [example.path.name for example in spread_examples(examples, 3)] == ["0", "4", "9"]
    assert spread_examples(examples, 20) == examples


@pytest.mark.tensorflow
def test_attention_that_decides_is_told_from_attention_that_does_not(grey_models_dir: Path, tmp_path: Path) -> None:
    """The grey model answers by light and attends to light: that explains `bright`, and is the reverse for `dark`."""
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
        of[label] = measure_faithfulness(model, manifest, examples)
    assert of["bright"].attention_is_explanation is True
    assert of["bright"].deletion.attention[0] == of["bright"].insertion.attention[-1]
    assert of["bright"].deletion.gain_over_random_interval.low > 0
    assert of["dark"].attention_is_explanation is False
    assert of["dark"].deletion.gain_over_random < 0
    one_group = [replace(example, group="same") for example in examples]
    assert measure_faithfulness(model, manifest, one_group).attention_is_explanation is None


class _SeesTheFirstFrame:
    """Answers by nothing else, and weighs all steps alike, as a network without attention does."""

    def __init__(self, num_frames_per_step: int) -> None:
        self.num_frames_per_step = num_frames_per_step

    def predict_clips(self, frames: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], ...]:
        bright = frames[0, 0].mean() / 255
        of_steps = valid.reshape(1, -1, self.num_frames_per_step)
        shares = of_steps / np.maximum(of_steps.sum(axis=2, keepdims=True), 1)
        attention = shares.reshape(1, -1) / of_steps.any(axis=2).sum()
        return np.array([[1 - bright, bright]], np.float32), attention.astype(np.float32)


@pytest.mark.parametrize("num_frames_per_step", [1, 4])
def test_attention_that_weighs_all_alike_is_never_an_explanation(
    num_frames_per_step: int, grey_models_dir: Path, tmp_path: Path
) -> None:
    # Taken for an order of attention, that of time would explain the answer.
    manifest = read_manifest(grey_models_dir / "grey" / "1")
    clip = manifest.clip.model_copy(update={"num_frames": 8, "frames_per_second": 8.0})
    manifest = manifest.model_copy(update={"clip": clip, "num_frames_per_step": num_frames_per_step})
    examples = [Example(painted(tmp_path / f"{n}.mp4", [n] + [250] * 6), ("dark",), f"group-{n}") for n in range(5)]
    found = measure_faithfulness(_SeesTheFirstFrame(num_frames_per_step), manifest, examples)
    assert found.attention_is_explanation is False
    for curve in (found.deletion, found.insertion):
        assert curve.attention == curve.random
        assert curve.gain_over_random == 0
