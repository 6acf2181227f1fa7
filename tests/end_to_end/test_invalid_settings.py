"""Every program of the service ends with status 2 and one line if a setting is invalid."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(arguments: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these variables beside those of the test."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment | variables,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["-m", "service"], "SERVICE_CORS_ORIGINS", "https://example.org/"),
        (["-m", "uvicorn", "--factory", "service.app:create_app"], "SERVICE_BATCH_SIZES", "[1"),
        (["-m", "service.batch", "samples", "out"], "SERVICE_MAX_UPLOAD_BYTE", "1"),
    ],
)
def test_an_invalid_setting_gives_status_2_and_one_line_that_names_it(
    arguments: list[str], name: str, value: str, tmp_path: Path
) -> None:
    done = run(arguments, **{name: value, "SERVICE_MODELS_DIR": str(tmp_path)})
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{name}: ")


def test_an_unusable_key_file_gives_status_2_and_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "keys.json"
    broken.write_text("no JSON")
    missing = tmp_path / "missing" / "keys.json"
    for arguments, path in (["list"], tmp_path), (["create", "--name", "a"], missing), (["revoke", "1"], broken):
        done = run(["-m", "service.keys", *arguments], SERVICE_API_KEYS_FILE=str(path))
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"SERVICE_API_KEYS_FILE: {path}")
    assert broken.read_text() == "no JSON"


def test_the_key_command_names_a_misspelled_variable() -> None:
    done = run(["-m", "service.keys", "list"], SERVICE_API_KEY_FILE="keys.json")
    assert done.returncode == 2
    assert "SERVICE_API_KEYS_FILE is not set" in done.stderr
    assert "(SERVICE_API_KEY_FILE is no setting)" in done.stderr
