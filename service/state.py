"""What the routes may use, built once in `service.app`."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from service.jobs.jobs import Jobs
from service.keys.key_ring import KeyRing
from service.lifecycle import Lifecycle
from service.model_control.control import ModelControl
from service.prediction.classifier import Classifier
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.video.sandbox.formats import Formats


@dataclass(frozen=True, slots=True)
class Parts:
    """The service's parts as the routes see them."""

    settings: Settings
    keys: KeyRing
    formats: Formats
    metrics: Metrics
    lifecycle: Lifecycle
    classifier: Classifier
    control: ModelControl
    jobs: Jobs | None

    @classmethod
    def of(cls, request: Request) -> "Parts":
        """The parts of the app that this request came to."""
        return cast("Parts", request.app.state.parts)

    def drain(self) -> None:
        """Refuse new work; what is in progress goes on, but for jobs, which others may take up."""
        self.lifecycle.drain()
        self.classifier.admission.drain()
        if self.jobs is not None:
            self.jobs.drain()
