"""Measures how long the service takes to serve predictions and jobs again."""

import threading
import time
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from tests.support.traffic.footage import with_nonce
from tests.support.traffic.jobs import JobCaller

_POLL_SECONDS = 0.05
_REQUEST_SECONDS = 10.0
_READY = "ready"


@dataclass
class Readiness:
    """A key of its own that asks for health, one prediction and one job."""

    client: httpx.Client
    video: bytes
    jobs: JobCaller
    """Submits the jobs, so that they are audited like all others."""

    def wait(self, limit_seconds: float) -> tuple[float, str | None]:
        """Seconds until the service was ready in every respect, and what was missing if it never was."""
        started_at = time.monotonic()
        missing: str | None = "nothing was asked"
        while time.monotonic() < started_at + limit_seconds:
            missing = self._missing(nonce=time.monotonic_ns())
            if missing is None:
                break
            threading.Event().wait(_POLL_SECONDS)
        return time.monotonic() - started_at, missing

    def _missing(self, nonce: int) -> str | None:
        try:
            health = self.client.get("/health", timeout=_REQUEST_SECONDS)
            if health.status_code != HTTPStatus.OK or health.json()["state"] != _READY:
                return f"health: {health.text[:300]}"
            video = {"video": ("ramp.mp4", with_nonce(self.video, nonce))}
            prediction = self.client.post("/predict", files=video, timeout=_REQUEST_SECONDS)
            if prediction.status_code != HTTPStatus.OK:
                return f"/predict: {prediction.text[:300]}"
        except httpx.TransportError as error:
            return repr(error)
        return None if self.jobs.submit() is not None else "POST /jobs was refused"
