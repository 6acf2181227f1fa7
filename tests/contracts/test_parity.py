"""Training and serving decode alike: `evaluate` and HTTP give the same predictions, bit for bit."""

import concurrent.futures
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_training.synthetic.render import synthesise_dataset
from tests.support.running_service import RunningService, running_service

pytestmark = pytest.mark.tensorflow

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.parent for path in (ROOT / "models").glob("*/*/manifest.json"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic videos of several codecs, sizes and rates."""
    directory = tmp_path_factory.mktemp("parity")
    synthesise_dataset(directory, num_videos=3, seed=11)
    return directory


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with the shipped models. It is ready, so every golden clip gave its expected output."""
    with running_service(ROOT / "models", tmp_path_factory.mktemp("uploads"), engine="tensorflow") as running:
        assert running.client.get("/health").json()["state"] == "ready"
        yield running


def evaluated(model: Path, data: Path, tmp_path: Path) -> list[dict[str, Any]]:
    """The predictions of `evaluate` for the videos of `data`."""
    # The true labels do not matter here: only the predictions are compared.
    labels = json.loads((model / "manifest.json").read_text())["labels"]
    for index, video in enumerate(sorted(data.rglob("*.mp4"))):
        target = tmp_path / "data" / labels[index % len(labels)] / f"{index}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(video.read_bytes())
    predictions = tmp_path / "predictions.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "model_training", "evaluate", "--model", str(model)),
            *("--data", str(tmp_path / "data"), "--predictions", str(predictions), "--json"),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    records: list[dict[str, Any]] = json.loads(predictions.read_text())["videos"]
    return records


@pytest.mark.parametrize("model", SHIPPED, ids=lambda model: f"{model.parent.name}-{model.name}")
def test_the_same_file_gets_the_same_prediction_offline_and_over_http_under_load(
    model: Path, videos: Path, service: RunningService, tmp_path: Path
) -> None:
    labels = json.loads((model / "manifest.json").read_text())["labels"]
    offline = evaluated(model, videos, tmp_path)
    assert len(offline) >= 3

    def post(record: dict[str, Any]) -> dict[str, Any]:
        path = tmp_path / "data" / record["path"]
        answer = service.post_video(path, model=model.parent.name, version=model.name).raise_for_status()
        online: dict[str, Any] = answer.json()
        return online

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        online = list(pool.map(post, offline))
    for record, answer in zip(offline, online, strict=True):
        by_label = {row["label"]: row["probability"] for row in answer["probabilities"]}
        assert [by_label[label] for label in labels] == record["probabilities"]
        for number, clip in enumerate(record["clips"]):
            frames = [frame for frame in answer["frames"] if frame["clip"] == number]
            assert [frame["attention"] for frame in frames] == clip["attention"][: len(frames)]
            assert [frame["time_seconds"] for frame in frames] == pytest.approx(
                clip["times_seconds"][: len(frames)], abs=1e-6
            )
