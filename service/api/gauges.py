"""Gauges that are read from the service's state on each Prometheus scrape."""

from collections.abc import Iterator
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from framewise.schemas.jobs import JobState
from service.connections.connections import Connections
from service.fair_share.share import FairShare
from service.inference.repository import ModelRepository
from service.jobs.jobs import Jobs
from service.lifecycle import Lifecycle
from service.prediction.admission import Admission
from service.prediction.cache import PredictionCache
from service.state import AppState
from service.telemetry.logs import num_dropped_lines
from service.video.sandbox.pool import Sandbox

_MODEL = ("model", "version")


class GaugeCollector(Collector):
    """Collects the gauges of every part of the service."""

    def __init__(self, state: AppState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yield the current values."""
        state = self._state
        yield CounterMetricFamily(
            "framewise_log_lines_dropped",
            "Log lines that were dropped because nothing read them from standard error.",
            num_dropped_lines(),
        )
        is_ready = float(state.lifecycle.is_ready)
        yield GaugeMetricFamily("framewise_ready", "1 if the service answers predictions, else 0.", value=is_ready)
        yield _degraded_gauge(state.lifecycle, ["models", "uploads", *([] if state.jobs is None else ["jobs"])])
        yield from _connection_gauges(state.connections)
        yield from _admission_gauges(state.admission)
        yield from _fair_share_gauges(state.fair_share)
        if state.jobs is not None:
            yield from _job_gauges(state.jobs)
        yield from _sandbox_gauges(state.sandbox)
        yield from _cache_gauges(state.cache)
        yield from _model_gauges(state.lifecycle, state.models)


def _degraded_gauge(lifecycle: Lifecycle, parts: list[str]) -> Metric:
    degraded = {part.part for part in lifecycle.degraded_parts}
    gauge = GaugeMetricFamily(
        "framewise_degraded", "1 if a part of the service does not work while predictions are served.", labels=("part",)
    )
    for part in sorted({*parts, *degraded}):
        gauge.add_metric((part,), float(part in degraded))
    return gauge


def _connection_gauges(connections: Connections) -> Iterator[Metric]:
    by_state = GaugeMetricFamily("framewise_connections", "Connections of clients, by state.", labels=("state",))
    by_state.add_metric(("idle",), connections.num_idle)
    by_state.add_metric(("busy",), connections.num_busy)
    yield by_state
    yield GaugeMetricFamily("framewise_max_connections", "Most connections of clients.", connections.max_in_all)
    yield CounterMetricFamily(
        "framewise_idle_connections_closed",
        "Connections without a request that were closed because there were too many.",
        connections.num_closed_idle,
    )
    yield CounterMetricFamily(
        "framewise_overloaded_requests",
        "Requests that were refused because there were too many connections.",
        connections.num_refused,
    )


def _admission_gauges(admission: Admission) -> Iterator[Metric]:
    requests = GaugeMetricFamily("framewise_requests_in_progress", "Requests in progress, by stage.", labels=("stage",))
    slots = GaugeMetricFamily("framewise_places", "Slots for requests, by stage.", labels=("stage",))
    for stage, number, most in (
        ("uploading", admission.num_uploads - admission.num_waiting, admission.settings.max_concurrent_uploads),
        ("waiting", admission.num_waiting, admission.settings.max_waiting_requests),
        ("working", admission.num_working, admission.settings.max_working_requests),
    ):
        requests.add_metric((stage,), number)
        slots.add_metric((stage,), most)
    yield requests
    yield slots


def _fair_share_gauges(fair_share: FairShare) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "framewise_requests_paused",
        "Requests and jobs that pause for callers that used less.",
        fair_share.num_paused,
    )
    yield CounterMetricFamily(
        "framewise_pauses", "Pauses of requests and jobs for callers that used less.", fair_share.num_pauses
    )


def _job_gauges(jobs: Jobs) -> Iterator[Metric]:
    statistics = jobs.runner.statistics
    by_state = GaugeMetricFamily("framewise_jobs", "Jobs in the database, by state.", labels=("state",))
    for state in get_args(JobState):
        by_state.add_metric((state,), statistics.num_by_state.get(state, 0))
    yield by_state
    yield GaugeMetricFamily(
        "framewise_job_queue_age_seconds",
        "Seconds since the oldest queued job was created.",
        jobs.runner.queue_age_seconds,
    )
    yield GaugeMetricFamily(
        "framewise_job_stored_bytes", "Bytes of the uploads and results of all jobs.", statistics.num_stored_bytes
    )
    yield GaugeMetricFamily("framewise_job_listeners", "Open event streams of jobs.", jobs.listeners.num_listeners)


def _sandbox_gauges(sandbox: Sandbox) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "framewise_decode_children_replaced",
        "Decode workers that were replaced after they crashed, hung, were abandoned or were killed.",
        sandbox.num_workers_replaced,
    )
    workers = GaugeMetricFamily("framewise_decode_children", "Live decode workers, by state.", labels=("state",))
    workers.add_metric(("idle",), len(sandbox.idle_process_ids))
    workers.add_metric(("busy",), len(sandbox.busy_process_ids))
    yield workers
    yield GaugeMetricFamily(
        "framewise_decode_children_resident_bytes",
        "Resident memory of all decode workers; shared pages are counted once for each worker.",
        sandbox.resident_bytes,
    )


def _cache_gauges(cache: PredictionCache) -> Iterator[Metric]:
    lookups = CounterMetricFamily(
        "framewise_answer_cache_lookups", "Lookups in the cache of predictions, by result.", labels=("result",)
    )
    lookups.add_metric(("hit",), cache.num_hits)
    lookups.add_metric(("miss",), cache.num_misses)
    yield lookups
    yield GaugeMetricFamily("framewise_answer_cache_bytes", "Memory of the cached predictions.", cache.num_bytes)


def _model_gauges(lifecycle: Lifecycle, models: ModelRepository) -> Iterator[Metric]:
    ready = GaugeMetricFamily("framewise_model_ready", "1 if the model is ready, else 0.", labels=_MODEL)
    for model_state in lifecycle.health().models:
        ready.add_metric((model_state.name, model_state.version), float(model_state.state == "ready"))
    yield ready
    queue = GaugeMetricFamily("framewise_queue_clips", "Clips in the queue of a model.", labels=_MODEL)
    since = GaugeMetricFamily(
        "framewise_model_ready_timestamp_seconds", "Unix time at which a model became ready.", labels=_MODEL
    )
    for model in models.all():
        name = (model.stored.manifest.name, model.stored.manifest.version)
        queue.add_metric(name, model.batcher.queue_length)
        since.add_metric(name, model.ready_at_unix_seconds)
    yield queue
    yield since
