"""A video, and a service that calls a file server and a trace collector."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.file_server import FileServer, file_server
from tests.support.otlp_collector import Collector, otlp_collector
from tests.support.running_service import RunningService, running_service
from tests.support.videos import painted


@pytest.fixture(scope="session")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of one clip; each frame is lighter than the previous one."""
    return painted(tmp_path_factory.mktemp("videos") / "ramp.mp4", range(0, 160, 10))


@pytest.fixture(scope="session")
def files() -> Iterator[FileServer]:
    """A file server from which `calling_service` may fetch videos."""
    with file_server() as files:
        yield files


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """The collector that receives the traces of `calling_service`."""
    with otlp_collector() as collector:
        yield collector


@pytest.fixture(scope="session")
def calling_service(
    files: FileServer, collector: Collector, grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A traced service that fetches videos by URL and accepts jobs and small videos; it has no prediction cache."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        environment.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        with running_service(
            grey_models_dir,
            tmp_path_factory.mktemp("uploads"),
            url_allowed_hosts=f'["{files.host}"]',
            url_private_allowed=True,
            max_upload_bytes=200_000,
            answer_cache_bytes=0,
            tracing=True,
            jobs_dir=tmp_path_factory.mktemp("jobs"),
            decode_children=2,
        ) as service:
            yield service
