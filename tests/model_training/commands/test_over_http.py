"""Evaluating through a running service gives exactly the metrics of the exported model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from model_training.commands.evaluate import STANDARD_OUTPUT, EvaluationData, OutputPaths, evaluate
from model_training.errors import TrainingError
from service.inference.manifest import read_manifest
from tests.support.running_service import RunningService
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright and dark videos, one long enough for several clips, with an event and groups."""
    directory = tmp_path_factory.mktemp("light")
    rows = ["path,label,group,fold,event_start_seconds,event_end_seconds"]
    for number, (level, length) in enumerate(((30, 16), (90, 16), (150, 40), (210, 5))):
        painted(directory / f"{number}.mp4", [(level + 7 * frame) % 256 for frame in range(length)])
        rows.append(f"{number}.mp4,{'bright' if level > 100 else 'dark'},group-{number % 3},{number % 2},0.25,0.75")
    (directory / "manifest.csv").write_text("\n".join(rows) + "\n")
    return directory


def _evaluation_data(data: Path, work: Path) -> EvaluationData:
    return EvaluationData(data=data, folds=(), training_data=data, cache=work / "cache")


def _evaluated(
    model: Path, data: Path, output: Path, capsys: pytest.CaptureFixture[str], over_http: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    evaluate(
        model,
        _evaluation_data(data, output.parent),
        OutputPaths(metrics=STANDARD_OUTPUT, predictions=output),
        over_http,
    )
    metrics: dict[str, Any] = json.loads(capsys.readouterr().out)
    predictions: dict[str, Any] = json.loads(output.read_text())
    return metrics, predictions


def test_a_service_gives_the_metrics_of_the_exported_model(
    grey_models_dir: Path,
    shared_service: RunningService,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = grey_models_dir / "grey" / "1"
    local, local_predictions = _evaluated(model, data, tmp_path / "local.json", capsys, None)
    remote, remote_predictions = _evaluated(model, data, tmp_path / "remote.json", capsys, shared_service.url)
    assert remote.pop("over_http") == shared_service.url
    assert remote.pop("cost").keys() == local.pop("cost").keys()
    assert remote == local
    assert local["num_clips"] > local["num_videos"] == 4
    assert local["attention"]["num_clips"] >= 4
    for one, other in zip(local_predictions["videos"], remote_predictions["videos"], strict=True):
        assert other["probabilities"] == one["probabilities"]
        assert [clip["attention"] for clip in other["clips"]] == [clip["attention"] for clip in one["clips"]]


def test_a_service_with_another_model_of_the_same_name_is_an_error(
    grey_models_dir: Path, shared_service: RunningService, data: Path, tmp_path: Path
) -> None:
    model = tmp_path / "grey" / "1"
    shutil.copytree(grey_models_dir / "grey" / "1", model)
    manifest = read_manifest(model).model_copy(update={"description": "Another one."})
    (model / "manifest.json").write_text(manifest.to_json())
    with pytest.raises(TrainingError, match="the service has another grey/1: its digest is"):
        evaluate(model, _evaluation_data(data, tmp_path), OutputPaths(), shared_service.url)


def test_an_unreachable_service_is_an_error(grey_models_dir: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="No response from"):
        evaluate(grey_models_dir / "grey" / "1", _evaluation_data(data, tmp_path), OutputPaths(), "http://127.0.0.1:9")
