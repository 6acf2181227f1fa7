"""A running service behind a proxy that serves it under a path prefix."""

from pathlib import Path

import httpx
import pytest

from tests.support.proxies import nginx
from tests.support.running_service import RunningService

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("target", ["/", ""], ids=["prefix removed", "prefix kept"])
def test_the_location_of_a_job_and_a_redirect_can_be_followed_through_nginx(
    calling_service: RunningService, ramp: Path, tmp_path: Path, target: str
) -> None:
    location = f"""
        location /video/ {{
            proxy_pass {calling_service.url}{target};
            proxy_set_header X-Forwarded-Prefix /video;
        }}
    """
    with nginx(tmp_path, location) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        submitted = client.post("/video/jobs", content=ramp.read_bytes(), headers={"Content-Type": "video/mp4"})
        assert submitted.status_code == 202
        assert client.get(submitted.headers["location"]).raise_for_status().json()["id"] == submitted.json()["id"]
        redirected = client.post(
            "/video/predict/", content=ramp.read_bytes(), headers={"Content-Type": "video/mp4"}, follow_redirects=True
        )
        assert redirected.status_code == 200
        assert redirected.url.path == "/video/predict"
        (server,) = client.get("/video/openapi.json").json()["servers"]
        assert client.get(f"{server['url']}/health").status_code == 200
        for path in ("/video/", "/video/docs", "/video/page/app.js", "/video/docs/start.js"):
            assert client.get(path).status_code == 200


def test_wget_finds_the_health_of_the_service_by_head(calling_service: RunningService) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/metrics", "/models", "/v2/health/ready"):
        response = calling_service.client.head(path)
        assert (response.status_code, response.content) == (200, b"")
        assert int(response.headers["content-length"]) > 0
    lines = calling_service.log_path.read_text().splitlines()
    assert any('"method": "HEAD"' in line or '"method":"HEAD"' in line for line in lines)
