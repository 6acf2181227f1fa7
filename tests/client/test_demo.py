"""`python -m samples.demo` with the model and the sample of the repository."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from framewise.client import Client
from samples.demo import DemoFailed, read_sample, verify

pytestmark = pytest.mark.tensorflow


def run_demo(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as `make demo` does."""
    command = [sys.executable, "-m", "samples.demo"]
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_demo_predicts_its_sample_and_stops_cleanly() -> None:
    done = run_demo()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "jump" in done.stdout
    assert "The prediction is right" in done.stdout
    assert "The service stopped cleanly." in done.stdout
    assert "http://127.0.0.1:8000/" in done.stdout


def test_the_demo_fails_without_a_model(tmp_path: Path) -> None:
    done = run_demo(SERVICE_MODELS_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "The demo failed: the service is failed" in done.stdout


def test_the_demo_fails_on_a_wrong_prediction(service_url: str) -> None:
    sample = read_sample()
    with Client(service_url) as client:
        prediction = client.predict(sample.path)
    with pytest.raises(DemoFailed, match=r"expected jump, from 1\.95 s to 2\.60 s"):
        verify(prediction, sample)
