"""A service for both families of addresses, with few connections, whose log leaves out probes."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.healthcheck import is_ready
from tests.support.proxies import free_port
from tests.support.running_service import RunningService, running_service
from tests.support.slow_upload import SlowUpload
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow

MAX_CONNECTIONS = 3
DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"


@pytest.fixture(scope="module")
def service(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """The service."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with running_service(
        grey_models_dir,
        tmp_path_factory.mktemp("uploads"),
        host="::",
        log_probes=False,
        max_connections=MAX_CONNECTIONS,
        max_connections_per_address=MAX_CONNECTIONS,
    ) as running:
        yield running


@pytest.fixture
def port(service: RunningService) -> int:
    """The port of the service."""
    return httpx.URL(service.url).port or 80


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_the_unspecified_address_of_ipv6_stands_for_both_families(port: int, host: str) -> None:
    assert httpx.get(f"http://{host}:{port}/health/ready", timeout=60).status_code == 200


@pytest.mark.parametrize("host", ["::", "0.0.0.0", "::1", "127.0.0.1", "localhost", ""])  # noqa: S104
def test_the_health_check_of_the_image_reaches_the_service_wherever_it_listens(port: int, host: str) -> None:
    (command,) = re.findall(r"^HEALTHCHECK .*\n    CMD (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    environment = {**os.environ, "SERVICE_HOST": host, "SERVICE_PORT": str(port)}
    program = [sys.executable, *json.loads(command)[1:]]
    subprocess.run(program, cwd=DOCKERFILE.parent, env=environment, check=True, timeout=60)


def test_the_health_check_of_the_image_fails_where_nothing_listens() -> None:
    assert not is_ready("127.0.0.1", free_port())


def test_probes_and_scrapes_are_left_out_of_the_log_and_other_requests_are_not(
    service: RunningService, port: int
) -> None:
    paths = ("/health", "/health/live", "/health/ready", "/metrics", "/v2/health/live", "/v2/health/ready")
    for path in (*paths, "/models", "/health/unknown"):
        httpx.get(f"http://127.0.0.1:{port}{path}", timeout=60)
    while "/health/unknown" not in service.log_path.read_text():
        httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=60)
    lines = [json.loads(line) for line in service.log_path.read_text().splitlines()]
    logged = {line["path"] for line in lines if line["logger"] == "service.access"}
    assert logged.isdisjoint(paths)
    assert {"/models", "/health/unknown"} <= logged


def test_if_every_connection_has_a_request_further_requests_are_refused_and_health_is_reachable(
    service: RunningService, port: int, tmp_path: Path
) -> None:
    video = painted(tmp_path / "ramp.mp4", range(0, 160, 10))
    uploads = [SlowUpload(service, video.read_bytes()) for _ in range(MAX_CONNECTIONS)]

    def refused() -> httpx.Response:
        with video.open("rb") as file:
            return httpx.post(f"http://127.0.0.1:{port}/predict", files={"video": file}, timeout=60)

    # The service may not have read the heads of the uploads yet.
    while (response := refused()).status_code == 200:
        pass
    assert (response.status_code, response.json()["code"]) == (503, "overloaded")
    assert int(response.headers["retry-after"]) >= 1
    assert response.headers["connection"] == "close"
    assert httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=60).status_code == 200
    assert "framewise_overloaded_requests_total 1.0" in httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    assert [upload.finish() for upload in uploads] == ["HTTP/1.1 200 OK"] * MAX_CONNECTIONS
