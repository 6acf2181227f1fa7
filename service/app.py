"""Composition root: builds every part once; the lifespan opens and closes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from service.api import problems
from service.api.access_log import AccessLog
from service.api.authorize import may_administer, may_change_models, may_predict
from service.api.gauges import StateCollector
from service.api.openapi import complete_openapi
from service.api.routes import capabilities, health, jobs, metrics, models, open_inference, page, predict
from service.api.security_headers import SecurityHeaders
from service.api.strict_parameters import ask_once
from service.inference.engines import import_engine
from service.inference.repository import ModelRepository
from service.jobs.build import build_jobs
from service.keys.key_ring import KeyRing
from service.lifecycle import Lifecycle
from service.model_control.control import ModelControl
from service.model_control.loader import ModelLoader
from service.open_inference.parser import RequestParser
from service.prediction.admission import Admission
from service.prediction.cache import AnswerCache
from service.prediction.classifier import Classifier
from service.settings import Settings
from service.startup import fail_if_raised, start
from service.state import Parts
from service.telemetry.metrics import Metrics
from service.uploads.directory import UploadDirectory
from service.uploads.from_url import UrlFetcher
from service.video.sandbox.formats import Formats
from service.video.sandbox.pool import Sandbox

if TYPE_CHECKING:
    from service.telemetry.tracing import Tracing


def create_app(settings: Settings) -> FastAPI:
    """The service as an ASGI application; nothing is opened before its lifespan begins."""
    sandbox = Sandbox(settings)
    formats = Formats()
    counts = Metrics(formats)
    lifecycle = Lifecycle()
    tracing = _tracing(settings)
    classifier = Classifier(
        admission=Admission(settings),
        models=ModelRepository(settings.default_model),
        sandbox=sandbox,
        metrics=counts,
        answers=AnswerCache(settings.answer_cache_bytes),
        upload_settings=settings,
        uploads=UploadDirectory(settings.upload_dir),
        urls=UrlFetcher(settings),
        settings=settings,
        max_duration_seconds=settings.max_duration_seconds,
        inference_parser=RequestParser(),
    )
    loader = ModelLoader(settings, sandbox, counts, partial(import_engine, settings.engine, settings.engine_threads))
    control = ModelControl(settings, classifier.models, lifecycle, loader, counts)
    kept_jobs = build_jobs(
        settings, classifier, problems.explain, tracing, max_upload_seconds=settings.upload_timeout_seconds
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if tracing is not None:
            tracing.start()
        # In the background, so that /health can tell `starting` from `dead`.
        starting = asyncio.create_task(start(parts, loader))
        starting.add_done_callback(lambda task: fail_if_raised(task, lifecycle))
        try:
            yield
        finally:
            starting.cancel()
            await asyncio.wait({starting})
            if kept_jobs is not None:
                await kept_jobs.close()
            await control.close()
            await sandbox.close()
            await classifier.urls.close()
            classifier.uploads.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)

    app = _Service(
        counts,
        tracing,
        title="Framewise",
        summary="Says what a video shows, how sure that is, and when it happened.",
        version=_version(),
        lifespan=lifespan,
        # The documentation is a page of our own: see `service.api.routes.page`.
        docs_url=None,
        redoc_url=None,
    )
    keys = KeyRing(settings.api_keys_file)
    parts = Parts(
        settings=settings,
        keys=keys,
        formats=formats,
        metrics=counts,
        lifecycle=lifecycle,
        classifier=classifier,
        control=control,
        jobs=kept_jobs,
    )
    counts.registry.register(StateCollector(parts))
    app.state.parts = parts
    for route in (predict, jobs, models, capabilities, open_inference):
        app.include_router(route.router, dependencies=[Depends(may_predict), Depends(ask_once)])
    app.include_router(metrics.router, dependencies=[Depends(may_administer), Depends(ask_once)])
    app.include_router(models.CONTROL, dependencies=[Depends(may_change_models), Depends(ask_once)])
    # Open to everybody: who probes health has no key and may ask with any query, and the page holds nothing but itself.
    for router in (health.router, open_inference.HEALTH, page.router):
        app.include_router(router)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Idempotency-Key", "Last-Event-ID", "X-Request-Id", "traceparent"],
            expose_headers=["Location", "Retry-After", "X-Request-Id"],
        )
    problems.install(app)
    complete_openapi(app)
    return app


class _Service(FastAPI):
    """An app whose access log is outermost: an answer to an error that nobody expected has an id too."""

    def __init__(self, metrics: Metrics, tracing: "Tracing | None", **settings: Any) -> None:
        super().__init__(**settings)
        self._metrics = metrics
        self._tracing = tracing

    def build_middleware_stack(self) -> ASGIApp:
        return AccessLog(SecurityHeaders(super().build_middleware_stack()), self._metrics, self._tracing)


def _tracing(settings: Settings) -> "Tracing | None":
    if not settings.tracing:
        return None
    # OpenTelemetry comes with an extra of its own.
    from service.telemetry.tracing import Tracing  # noqa: PLC0415

    return Tracing(_version())


def _version() -> str:
    try:
        return version("framewise")
    except PackageNotFoundError:
        return "0+checkout"
