"""The parts of the running service, as the routes and the HTTP server use them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from fastapi import Request

from service.connections.connections import Connections
from service.fair_share.share import FairShare
from service.inference.repository import ModelRepository
from service.jobs.jobs import Jobs
from service.keys.key_ring import KeyRing
from service.lifecycle import Lifecycle
from service.model_control.control import ModelControl
from service.prediction.admission import Admission
from service.prediction.cache import PredictionCache
from service.prediction.classifier import Classifier
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.uploads.directory import UploadDirectory
from service.uploads.receiver import UploadReceiver
from service.video.sandbox.formats import Formats
from service.video.sandbox.pool import Sandbox

if TYPE_CHECKING:
    from service.telemetry.tracing import Tracing


@dataclass(frozen=True, slots=True)
class AppState:
    """Every part of the service; built by `service.app`, opened and closed by `service.startup`."""

    settings: Settings
    keys: KeyRing
    formats: Formats
    metrics: Metrics
    tracing: "Tracing | None"
    lifecycle: Lifecycle
    fair_share: FairShare
    sandbox: Sandbox
    models: ModelRepository
    control: ModelControl
    admission: Admission
    cache: PredictionCache
    uploads: UploadDirectory
    receiver: UploadReceiver
    classifier: Classifier
    jobs: Jobs | None
    connections: Connections

    @classmethod
    def of(cls, request: Request) -> "AppState":
        """Return the state of the app that received `request`."""
        return cast("AppState", request.app.state.app_state)

    def announce_drain(self) -> None:
        """Report that the service is about to end, and close each connection after its next response."""
        self.lifecycle.drain()
        self.connections.drain()

    def drain(self) -> None:
        """Refuse new work. Requests in progress go on; running jobs are given back to the queue."""
        self.announce_drain()
        self.admission.drain()
        if self.jobs is not None:
            self.jobs.drain()
