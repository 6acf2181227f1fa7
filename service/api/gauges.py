"""What is so at the moment, read off the service's parts whenever Prometheus asks."""

from collections.abc import Iterator
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from framewise.schemas.jobs import JobState
from service.state import Parts

_MODEL = ("model", "version")


class StateCollector(Collector):
    """Gauges that nobody has to keep up to date."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        """The service's state as metrics."""
        lifecycle, classifier = self._parts.lifecycle, self._parts.classifier
        yield GaugeMetricFamily("framewise_ready", "1 while predictions are answered.", value=float(lifecycle.is_ready))
        yield from self._requests()
        yield from self._jobs()
        yield CounterMetricFamily(
            "framewise_decode_children_replaced",
            "Decode children that crashed, hung, were left or killed, and were replaced.",
            classifier.sandbox.num_workers_replaced,
        )
        children = GaugeMetricFamily("framewise_decode_children", "Decode children that live.", labels=("state",))
        children.add_metric(("idle",), len(classifier.sandbox.idle_process_ids))
        children.add_metric(("busy",), len(classifier.sandbox.busy_process_ids))
        yield children
        yield GaugeMetricFamily(
            "framewise_decode_children_resident_bytes",
            "Memory of all decode children; what they share is counted once for each.",
            classifier.sandbox.resident_bytes,
        )
        lookups = CounterMetricFamily(
            "framewise_answer_cache_lookups", "Videos looked for among the answers given before.", labels=("result",)
        )
        lookups.add_metric(("hit",), classifier.answers.num_hits)
        lookups.add_metric(("miss",), classifier.answers.num_misses)
        yield lookups
        yield GaugeMetricFamily(
            "framewise_answer_cache_bytes", "Memory that kept answers take.", classifier.answers.num_bytes
        )
        yield self._model_states()
        queue = GaugeMetricFamily("framewise_queue_clips", "Clips that wait for a model.", labels=_MODEL)
        since = GaugeMetricFamily(
            "framewise_model_ready_timestamp_seconds", "When a model became ready, in Unix time.", labels=_MODEL
        )
        for model in classifier.models.all():
            name = (model.stored.manifest.name, model.stored.manifest.version)
            queue.add_metric(name, model.batcher.queue_length)
            since.add_metric(name, model.ready_at_unix_seconds)
        yield queue
        yield since

    def _requests(self) -> Iterator[Metric]:
        admission = self._parts.classifier.admission
        requests = GaugeMetricFamily(
            "framewise_requests_in_progress", "Requests by how far they have come.", labels=("stage",)
        )
        places = GaugeMetricFamily("framewise_places", "How many requests may be at a stage.", labels=("stage",))
        for stage, number, most in (
            ("uploading", admission.num_uploads - admission.num_waiting, admission.settings.max_concurrent_uploads),
            ("waiting", admission.num_waiting, admission.settings.max_waiting_requests),
            ("working", admission.num_working, admission.settings.max_working_requests),
        ):
            requests.add_metric((stage,), number)
            places.add_metric((stage,), most)
        yield requests
        yield places

    def _jobs(self) -> Iterator[Metric]:
        jobs = self._parts.jobs
        if jobs is None:
            return
        census = jobs.runner.census
        by_state = GaugeMetricFamily("framewise_jobs", "Jobs in the database, by state.", labels=("state",))
        for state in get_args(JobState):
            by_state.add_metric((state,), census.num_by_state.get(state, 0))
        yield by_state
        yield GaugeMetricFamily(
            "framewise_job_queue_age_seconds", "How long the oldest queued job has existed.", census.queue_age_seconds
        )
        yield GaugeMetricFamily(
            "framewise_job_stored_bytes", "Bytes of uploads and results of all jobs.", census.num_stored_bytes
        )
        yield GaugeMetricFamily(
            "framewise_job_listeners", "Clients that listen to events.", jobs.listeners.num_listeners
        )

    def _model_states(self) -> Metric:
        ready = GaugeMetricFamily("framewise_model_ready", "1 for a model that answers.", labels=_MODEL)
        for model in self._parts.lifecycle.health().models:
            ready.add_metric((model.name, model.version), float(model.state == "ready"))
        return ready
