"""`python -m service.batch`: predictions of the service, and continuation after an interruption."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from framewise.schemas.prediction import Prediction
from service.batch.options import argument_parser
from service.batch.progress import progress_line
from tests.batch.rows import read_rows
from tests.support.videos import painted

pytestmark = pytest.mark.slow


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
    (videos / "notes.txt").write_text("left out")
    (videos / os.fsdecode(b"caf\xe9.mp4")).write_bytes(dark.read_bytes())
    painted(videos / "ramp.mp4", range(0, 240, 10))
    arguments = ["service.batch", videos, out, "--format", "parquet"]
    done = run_python(*arguments, models_dir=grey_models_dir, upload_dir=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "Classifying 4 files\n" in done.stderr
    assert "4 files, 0 done before: 3 classified, 1 unsupported_media" in done.stderr
    assert "1 other files left out" in done.stderr
    rows = {found["file"]: found for found in read_rows(out)}
    assert sorted(rows) == ["below/dark.mp4", r"caf\xe9.mp4", "notes.mp4", "ramp.mp4"]
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


@pytest.mark.parametrize("package", ["fsspec", "pyarrow"])
def test_a_missing_extra_is_named_in_one_line_and_help_works_without_it(package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from service.batch.__main__ import main; sys.exit(main())"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("in", "out")
    assert done.returncode == 2
    assert done.stderr == f"service.batch needs {package}: pip install 'framewise-server[batch]'\n"
    if package == "fsspec":
        assert run("--help").returncode == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--shard", "4/3"], "'4/3' must be N/M"),
        (["--top-k", "0"], "must be a whole number from 1 to 1000"),
        (["--threshold", "half"], "'half' must be a number from 0 to 1"),
    ],
)
def test_an_invalid_option_is_explained(option: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        argument_parser().parse_args(["in", "out", *option])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_without_a_terminal_lines_state_the_progress() -> None:
    assert progress_line(0, 4000, 0, 10) == "0 of 4,000 files, 10 s so far"
    assert progress_line(1000, 4000, 3, 600) == "1,000 of 4,000 files, 3 with a problem, about 30 min left"
    assert progress_line(30, 40, 0, 60) == "30 of 40 files, about 20 s left"
    assert progress_line(10, 1000, 0, 100) == "10 of 1,000 files, about 2.8 h left"
