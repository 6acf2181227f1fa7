"""Videos and worker directories for the tests of the sandbox."""

import tempfile
from pathlib import Path

import pytest

from tests.support.videos import encode, moving, painted


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painted(tmp_path_factory.mktemp("videos") / "ramp.mp4", range(0, 240, 10))


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More clips than fit into a pipe, so that its worker is busy until they are taken."""
    return encode(tmp_path_factory.mktemp("videos") / "long.mp4", moving(30) * 20, options={"qp": "30"})


@pytest.fixture
def worker_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parent of the working directories of workers in this test."""
    directory = tmp_path / "workers"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory
