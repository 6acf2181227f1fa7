"""`python -m service.batch`: predictions of the service, and continuation after an interruption."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from framewise.schemas.prediction import Prediction
from tests.batch.rows import read_rows
from tests.support.videos import painted


def run_python(*arguments: object, models_dir: Path, upload_dir: Path) -> subprocess.CompletedProcess[str]:
    """Run a module with the settings of a service that has the grey model and one file in progress."""
    environment = {
        "SERVICE_MODELS_DIR": str(models_dir),
        "SERVICE_UPLOAD_DIR": str(upload_dir),
        "SERVICE_JOBS_DIR": str(upload_dir / "jobs"),
        "SERVICE_MAX_QUEUED_CLIPS": "8",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.tensorflow
def test_an_interrupted_batch_continues_where_it_stopped(grey_models_dir: Path, dark: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run_python("tests.support.interrupted_batch", dark, out, models_dir=grey_models_dir, upload_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == {"done": ["0.mp4", "1.mp4"], "fetched_again": ["2.mp4", "3.mp4", "4.mp4"], "status": 0}
    rows = read_rows(out)
    assert sorted(found["file"] for found in rows) == [f"{number}.mp4" for number in range(5)]
    assert {found["prediction"]["prediction"]["label"] for found in rows} == {"dark"}
    # No downloaded copy is left.
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.tensorflow
def test_the_command_gives_the_predictions_of_the_service(
    service_url: str, grey_models_dir: Path, dark: Path, not_a_video: Path, tmp_path: Path
) -> None:
    videos, out = tmp_path / "in", tmp_path / "out"
    (videos / "below").mkdir(parents=True)
    (videos / "below" / "dark.mp4").write_bytes(dark.read_bytes())
    (videos / "notes.mp4").write_bytes(not_a_video.read_bytes())
    (videos / ".hidden").write_text("ignored")
    painted(videos / "ramp.mp4", range(0, 240, 10))
    arguments = ["service.batch", videos, out, "--format", "parquet"]
    done = run_python(*arguments, models_dir=grey_models_dir, upload_dir=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "3 files, 0 done before: 2 classified, 1 unsupported_media" in done.stderr
    rows = {found["file"]: found for found in read_rows(out)}
    assert sorted(rows) == ["below/dark.mp4", "notes.mp4", "ramp.mp4"]
    assert rows["notes.mp4"]["problem"]["code"] == "unsupported_media"
    for name in ("below/dark.mp4", "ramp.mp4"):
        with (videos / name).open("rb") as file:
            response = httpx.post(f"{service_url}/predict", files={"video": file}, timeout=60).json()
        written = Prediction.model_validate(rows[name]["prediction"]).model_dump()
        for prediction in (written, response):
            del prediction["request_id"], prediction["timings_ms"]
        assert written == response
    # A batch does not accept jobs, even if SERVICE_JOBS_DIR is set.
    assert not (tmp_path / "jobs").exists()
