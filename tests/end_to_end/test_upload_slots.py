"""Uploads without a free slot and uploads that stall are refused."""

from pathlib import Path

import pytest

from tests.support.running_service import RunningService, running_service
from tests.support.slow_upload import SlowUpload

pytestmark = pytest.mark.tensorflow


def wait_until(service: RunningService, *, is_full: bool) -> None:
    """Wait until the service refuses requests because all upload slots are taken, or accepts requests again."""
    for _ in range(2000):
        is_refused = service.client.post("/predict").status_code == 429
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


def test_a_stalled_upload_is_refused(grey_models_dir: Path, tmp_path: Path, ramp: Path) -> None:
    with running_service(grey_models_dir, tmp_path, upload_idle_timeout_seconds=0.2) as service:
        assert SlowUpload(service, ramp.read_bytes()).status_line() == "HTTP/1.1 408 Request Timeout"
    with running_service(grey_models_dir, tmp_path, upload_timeout_seconds=0.2) as service:
        assert SlowUpload(service, ramp.read_bytes()).status_line() == "HTTP/1.1 408 Request Timeout"
        assert service.uploads_left() == []
