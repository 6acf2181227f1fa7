"""Predictions of an exported model, and their records in JSON."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

import json
from pathlib import Path

import numpy as np
import pytest

from model_training.datasets.examples import Example
from model_training.errors import TrainingDataError
from model_training.evaluation.results import Metrics, evaluation_of
from service.inference.manifest import ConformalSets, read_manifest
from tests.support.plain_manifest import plain_manifest
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow


def test_a_recorded_path_is_relative_to_the_data_or_absolute_outside_it(grey_models_dir: Path, tmp_path: Path) -> None:
    from model_training.evaluation.exported_model import ExportedModel, predict_examples
    from model_training.evaluation.measure import prediction_record

    directory, data = grey_models_dir / "grey" / "1", tmp_path / "data"
    (data / "below").mkdir(parents=True)
    paths = [painted(folder / "video.mp4", [200] * 8) for folder in (data / "below", tmp_path)]
    examples = [Example(path, ("bright",), "g") for path in paths]
    predictions = predict_examples(ExportedModel(directory), read_manifest(directory), examples)
    records = [
        prediction_record(prediction, example, data) for prediction, example in zip(predictions, examples, strict=True)
    ]
    assert [record["path"] for record in records] == ["below/video.mp4", str(tmp_path / "video.mp4")]
    assert records[0]["probabilities"] == records[1]["probabilities"]


def test_an_unreadable_video_is_reported_with_its_line_in_the_manifest(grey_models_dir: Path, tmp_path: Path) -> None:
    from model_training.evaluation.exported_model import ExportedModel, predict_examples

    directory = grey_models_dir / "grey" / "1"
    model, manifest = ExportedModel(directory), read_manifest(directory)
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    for name, reason in (("broken.mp4", "This is not a video"), ("gone.mp4", "No such file")):
        example = Example(tmp_path / name, ("bright",), "g", where="manifest.csv, line 7")
        with pytest.raises(TrainingDataError, match=rf"^manifest\.csv, line 7: .*{name}: {reason}"):
            predict_examples(model, manifest, [example])


def test_an_evaluation_writes_every_computed_metric() -> None:
    from model_training.evaluation.exported_model import VideoPrediction
    from model_training.evaluation.measure import compute_metrics

    manifest = plain_manifest(
        labels=("a", "b"),
        abstention_threshold=0.5,
        conformal=ConformalSets(coverage=0.9, least_probability=0.3),
    )
    times, valid = np.arange(4.0).reshape(1, 4), np.ones((1, 4), np.bool_)
    predictions = [
        VideoPrediction(np.array([p, 1 - p]), None, np.full((1, 4), 0.25, np.float32), times, valid, 0.01, 0.02)
        for p in (0.9, 0.8, 0.6, 0.2)
    ]
    examples = [
        Example(Path(f"{number}.mp4"), (label,), f"g{number}", event_seconds=(1.0, 2.0))
        for number, label in enumerate("aabb")
    ]
    metrics = compute_metrics(predictions, examples, manifest)
    assert set(metrics.model_dump()) == set(Metrics.model_fields), "fill in the new field, so that this test covers it"
    evaluation = evaluation_of(metrics, model="m", version="1", digest="sha256:0", folds=())
    assert json.loads(metrics.model_dump_json()).items() <= json.loads(evaluation.model_dump_json()).items()
