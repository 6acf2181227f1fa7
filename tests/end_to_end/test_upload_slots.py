"""Uploads without a free slot and uploads that stall are refused."""

from pathlib import Path

import pytest

from tests.support.running_service import RunningService, running_service
from tests.support.slow_upload import SlowUpload

pytestmark = pytest.mark.tensorflow


def wait_until(service: RunningService, *, is_full: bool, forwarded_for: str = "127.0.0.1") -> None:
    """Wait until the service refuses requests because all upload slots are taken, or accepts requests again."""
    for _ in range(2000):
        is_refused = service.client.post("/predict", headers={"X-Forwarded-For": forwarded_for}).status_code == 429
        if is_refused == is_full:
            return
    raise TimeoutError


def test_a_request_without_a_free_slot_is_refused_before_its_body_with_a_retry_time(
    grey_models_dir: Path, tmp_path: Path, ramp: Path
) -> None:
    with running_service(grey_models_dir, tmp_path, max_uploads_per_caller=1) as service:
        holder = SlowUpload(service, ramp.read_bytes())
        wait_until(service, is_full=True)
        refused = service.post_video(ramp)
        assert refused.status_code == 429
        assert refused.json()["code"] == "busy"
        assert int(refused.headers["retry-after"]) >= 1
        # Another client has slots of its own; uvicorn trusts a proxy on this machine.
        elsewhere = {"X-Forwarded-For": "203.0.113.9"}
        assert service.client.post("/predict", files={"video": ramp.read_bytes()}, headers=elsewhere).is_success
        assert holder.finish() == "HTTP/1.1 200 OK"
        assert service.post_video(ramp).status_code == 200

        # So has each IPv4 client of a proxy that listens for IPv6, too, and writes their addresses as IPv6 ones.
        mapped = "[::ffff:203.0.113.1]:4711"
        holder = SlowUpload(service, ramp.read_bytes(), forwarded_for=mapped)
        wait_until(service, is_full=True, forwarded_for=mapped)
        for address, status in (("::ffff:203.0.113.2", 200), ("64:ff9b::203.0.113.3", 200), ("203.0.113.1", 429)):
            files, headers = {"video": ramp.read_bytes()}, {"X-Forwarded-For": address}
            assert service.client.post("/predict", files=files, headers=headers).status_code == status
        assert holder.finish() == "HTTP/1.1 200 OK"


def test_a_stalled_upload_is_refused(grey_models_dir: Path, tmp_path: Path, ramp: Path) -> None:
    with running_service(grey_models_dir, tmp_path, upload_idle_timeout_seconds=0.2) as service:
        assert SlowUpload(service, ramp.read_bytes()).status_line() == "HTTP/1.1 408 Request Timeout"
    with running_service(grey_models_dir, tmp_path, upload_timeout_seconds=0.2) as service:
        assert SlowUpload(service, ramp.read_bytes()).status_line() == "HTTP/1.1 408 Request Timeout"
        assert service.uploads_left() == []
