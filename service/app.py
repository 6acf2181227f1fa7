"""Application factory: builds every part of the service once, and puts the HTTP application together."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from framewise.version import __version__
from service.api import problems
from service.api.accepted_connection import require_accepted_connection
from service.api.access_log import AccessLog
from service.api.authorize import require_admin_scope, require_model_control, require_predict_scope
from service.api.gauges import GaugeCollector
from service.api.head_requests import HeadRequests
from service.api.openapi import complete_openapi
from service.api.path_prefix import PathPrefixes
from service.api.routes import capabilities, health, jobs, metrics, models, open_inference, page, predict
from service.api.security_headers import SecurityHeaders
from service.api.strict_parameters import require_known_parameters
from service.connections.connections import Connections
from service.environment import INVALID_SETTINGS_STATUS, InvalidSettings
from service.fair_share.share import FairShare
from service.inference.engines import import_engine
from service.inference.repository import ModelRepository
from service.jobs.build import build_jobs
from service.keys.key_ring import KeyRing
from service.lifecycle import Lifecycle
from service.model_control.control import ModelControl
from service.model_control.loader import ModelLoader
from service.prediction.admission import Admission
from service.prediction.cache import PredictionCache
from service.prediction.classifier import Classifier
from service.prediction.pipeline import Pipeline
from service.settings import Settings, read_settings
from service.startup import running
from service.state import AppState
from service.telemetry.logs import set_up_logging
from service.telemetry.metrics import Metrics
from service.uploads.directory import UploadDirectory
from service.uploads.receiver import UploadReceiver
from service.video.sandbox.formats import Formats
from service.video.sandbox.isolation import become_undumpable
from service.video.sandbox.pool import Sandbox

if TYPE_CHECKING:
    from service.telemetry.tracing import Tracing


def create_app(settings: Settings | None = None, max_connections_within_descriptors: int | None = None) -> FastAPI:
    """Build the service as an ASGI application; its lifespan opens and closes every part.

    Without `settings`, as `uvicorn --factory service.app:create_app` calls it, they are read from the environment;
    invalid ones end the process with status 2 and a line on standard error for each.
    `max_connections_within_descriptors` is the number of connections that the limit of open files allows.
    """
    settings = settings or _settings_of_this_process()
    state = build_state(settings, max_connections_within_descriptors)
    app = _Service(
        state,
        title="Framewise",
        summary="Classifies videos: labels with probabilities, and the frames that the model attended to.",
        version=__version__,
        lifespan=lambda _: running(state),
        # /docs is a page of this service: see `service.api.routes.page`.
        docs_url=None,
        redoc_url=None,
    )
    app.state.app_state = state
    _add_routes(app)
    problems.install(app)
    complete_openapi(app)
    return app


def build_state(settings: Settings, max_connections_within_descriptors: int | None = None) -> AppState:
    """Build every part of the service from its settings; opens nothing."""
    formats = Formats()
    metrics = Metrics(formats)
    tracing = _tracing(settings)
    lifecycle = Lifecycle()
    fair_share = FairShare(settings, num_threads=settings.decode_threads)
    sandbox = Sandbox(settings, fair_share)
    models = ModelRepository(settings.default_model)
    admission = Admission(settings, fair_share)
    cache = PredictionCache(settings.answer_cache_bytes)
    uploads = UploadDirectory(settings.upload_dir)
    receiver = UploadReceiver(settings)
    pipeline = Pipeline(sandbox, metrics, settings.max_clips_in_flight, fair_share)
    classifier = Classifier(
        settings=settings,
        max_duration_seconds=settings.max_duration_seconds,
        admission=admission,
        models=models,
        pipeline=pipeline,
        cache=cache,
        uploads=uploads,
        receiver=receiver,
        metrics=metrics,
    )
    loader = ModelLoader(settings, pipeline, metrics, partial(import_engine, settings.engine, settings.engine_threads))
    state = AppState(
        settings=settings,
        keys=KeyRing(settings.api_keys_file),
        formats=formats,
        metrics=metrics,
        tracing=tracing,
        lifecycle=lifecycle,
        fair_share=fair_share,
        sandbox=sandbox,
        models=models,
        control=ModelControl(settings, models, lifecycle, loader, metrics),
        admission=admission,
        cache=cache,
        uploads=uploads,
        receiver=receiver,
        classifier=classifier,
        jobs=build_jobs(
            settings,
            lifecycle=lifecycle,
            admission=admission,
            models=models,
            receiver=receiver,
            classifier=classifier,
            metrics=metrics,
            explain=problems.explain,
            explain_and_log=problems.explain_and_log,
            tracing=tracing,
            max_upload_seconds=settings.upload_timeout_seconds,
        ),
        connections=Connections(settings, max_connections_within_descriptors),
    )
    metrics.registry.register(GaugeCollector(state))
    return state


def _settings_of_this_process() -> Settings:
    # Before any secret is read, as in `service.__main__`.
    become_undumpable()
    try:
        settings = read_settings()
    except InvalidSettings as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(INVALID_SETTINGS_STATUS) from None
    set_up_logging(settings.log_level, settings.log_buffer_bytes)
    return settings


def _add_routes(app: FastAPI) -> None:
    is_accepted, known_parameters = Depends(require_accepted_connection), Depends(require_known_parameters)
    for route in (predict, jobs, models, capabilities, open_inference):
        app.include_router(route.router, dependencies=[is_accepted, Depends(require_predict_scope), known_parameters])
    app.include_router(metrics.router, dependencies=[Depends(require_admin_scope), known_parameters])
    app.include_router(models.CONTROL, dependencies=[is_accepted, Depends(require_model_control), known_parameters])
    # These need no key: health probes have none and may add any query, and the page contains no secret.
    for router in (health.router, open_inference.HEALTH, page.router):
        app.include_router(router)


class _Service(FastAPI):
    """An app whose own layers are outside those of FastAPI, so that they apply to unexpected errors too."""

    def __init__(self, state: AppState, **settings: Any) -> None:
        super().__init__(**settings)
        self._state = state

    def build_middleware_stack(self) -> ASGIApp:
        state = self._state
        app: ASGIApp = HeadRequests(super().build_middleware_stack())
        if state.settings.cors_origins:
            app = _allow_origins(app, state.settings.cors_origins)
        app = AccessLog(SecurityHeaders(app), state.metrics, state.tracing, logs_probes=state.settings.log_probes)
        return PathPrefixes(app, state.settings.root_path)


def _allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
        allow_headers=[
            *("Authorization", "Cache-Control", "Content-Encoding", "Content-Type", "Idempotency-Key"),
            *("If-None-Match", "Inference-Header-Content-Length", "Last-Event-ID", "X-Request-Id"),
            *("traceparent", "tracestate"),
        ],
        expose_headers=[
            *("Accept-Encoding", "Allow", "ETag", "Inference-Header-Content-Length", "Location", "Retry-After"),
            *("WWW-Authenticate", "X-Request-Id"),
        ],
    )


def _tracing(settings: Settings) -> "Tracing | None":
    if not settings.tracing:
        return None
    # OpenTelemetry is an optional dependency (the extra `tracing`).
    from service.telemetry.tracing import Tracing  # noqa: PLC0415

    return Tracing(__version__)
