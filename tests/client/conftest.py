"""Videos and services for the tests of the client."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running_service import RunningService, running_service
from tests.support.videos import painted


@pytest.fixture(scope="session")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of growing brightness; a form must quote the file name."""
    return painted(tmp_path_factory.mktemp("videos") / 'a "ramp" — grün.mp4', range(0, 240, 10))


@pytest.fixture(scope="module")
def narrow_service(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that accepts one upload at a time."""
    uploads = tmp_path_factory.mktemp("uploads")
    with running_service(grey_models_dir, uploads, max_concurrent_uploads=1, upload_idle_timeout_seconds=60) as one:
        yield one
