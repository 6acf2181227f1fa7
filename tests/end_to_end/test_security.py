"""API keys, CORS origins and security headers of a running service."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.running_service import RunningService, running_service
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow

ORIGIN = "https://friend.example"


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key file of the locked service."""
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def locked(
    grey_models_dir: Path, keys_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service that requires keys and allows one other origin."""
    with running_service(
        grey_models_dir,
        tmp_path_factory.mktemp("uploads"),
        api_keys_file=keys_file,
        cors_origins=f'["{ORIGIN}"]',
    ) as service:
        yield service


@pytest.fixture
def ramp(tmp_path: Path) -> bytes:
    """A video of one clip."""
    return painted(tmp_path / "ramp.mp4", range(0, 160, 10)).read_bytes()


def keys_command(keys_file: Path, *arguments: str) -> str:
    """The output of `python -m service.keys`."""
    return subprocess.run(
        [sys.executable, "-m", "service.keys", *arguments],
        env={**os.environ, "SERVICE_API_KEYS_FILE": str(keys_file)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def bearer(token: str) -> dict[str, str]:
    """The header with an API key."""
    return {"Authorization": f"Bearer {token}"}


def test_a_request_needs_a_key_until_the_key_is_revoked(locked: RunningService, keys_file: Path, ramp: bytes) -> None:
    refused = locked.client.post("/predict", files={"video": ramp})
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    assert refused.headers["www-authenticate"] == "Bearer"

    token = keys_command(keys_file, "create", "--name", "a friend")
    for path in ("/predict", "/validate"):
        assert locked.client.post(path, files={"video": ramp}, headers=bearer(token)).status_code == 200
    for path in ("/models", "/models/grey", "/capabilities"):
        assert locked.client.get(path).status_code == 401
        assert locked.client.get(path, headers=bearer(token)).status_code == 200

    (line,) = [line for line in keys_command(keys_file, "list").splitlines() if line.endswith("a friend")]
    keys_command(keys_file, "revoke", line.split()[0])
    assert locked.client.post("/predict", files={"video": ramp}, headers=bearer(token)).status_code == 401
    log = locked.log_path.read_text()
    assert line.split()[0] in log
    assert token.split("_", 2)[2] not in log


def test_a_key_without_the_scope_is_forbidden(locked: RunningService, keys_file: Path) -> None:
    user = keys_command(keys_file, "create", "--name", "user")
    admin = keys_command(keys_file, "create", "--name", "admin", "--scope", "admin")
    refused = locked.client.get("/metrics", headers=bearer(user))
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert locked.client.get("/metrics", headers=bearer(admin)).status_code == 200
    assert locked.client.get("/models", headers=bearer(admin)).status_code == 403


def test_a_key_above_its_rate_limit_gets_a_retry_time(locked: RunningService, keys_file: Path) -> None:
    token = keys_command(keys_file, "create", "--name", "eager", "--requests-per-minute", "6")
    assert locked.client.get("/models", headers=bearer(token)).status_code == 200
    refused = locked.client.get("/models", headers=bearer(token))
    assert (refused.status_code, refused.json()["code"]) == (429, "busy")
    assert 1 <= int(refused.headers["retry-after"]) <= 10


def test_health_page_and_documentation_need_no_key(locked: RunningService) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/", "/docs", "/openapi.json"):
        assert locked.client.get(path).status_code == 200


def test_only_pages_of_allowed_origins_may_call_the_api(locked: RunningService, shared_service: RunningService) -> None:
    def preflight(service: RunningService, origin: str) -> httpx.Response:
        wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        return service.client.options("/predict", headers={"Origin": origin, **wanted})

    assert preflight(locked, ORIGIN).headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-origin" not in preflight(locked, "https://foe.example").headers
    assert "access-control-allow-origin" not in preflight(shared_service, ORIGIN).headers
    assert "access-control-allow-origin" not in shared_service.client.get("/health", headers={"Origin": ORIGIN}).headers


@pytest.mark.parametrize(
    "path", ["/health", "/models", "/metrics", "/nowhere", "/docs", "/openapi.json", "/", "/predict"]
)
def test_every_response_has_the_security_headers(shared_service: RunningService, path: str) -> None:
    headers = shared_service.client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers
