"""Counters and histograms for Prometheus.

The service is one process, so its registry is complete without Prometheus' multiprocess mode. Label values come from
sets that clients cannot extend: declared routes, models on disk, formats probed at start, names of error classes.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from service.video.clip import VideoFacts
from service.video.sandbox.formats import Formats

# From a cached prediction to the longest usual deadline.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_CLIPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_OTHER = "other"
_UNKNOWN = "unknown"


class Metrics:
    """The service's counters and histograms, in a registry of their own."""

    def __init__(self, formats: Formats) -> None:
        self._formats = formats
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "framewise_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self._request_seconds = Histogram(
            "framewise_request_seconds",
            "Seconds from the first byte of a request to the last byte of its response.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "framewise_stage_seconds",
            "Seconds of each stage of successful requests, as in `timings_ms`.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._decodes = Counter(
            "framewise_decodes",
            "Videos given to a decode worker, golden clips included.",
            ["container", "codec", "outcome"],
            registry=self.registry,
        )
        self._batch_clips = Histogram(
            "framewise_batch_clips",
            "Clips in one call of a model.",
            ["model", "version"],
            buckets=_CLIPS,
            registry=self.registry,
        )
        self._model_seconds = Histogram(
            "framewise_model_seconds",
            "Seconds of one call of a model.",
            ["model", "version"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._release_seconds = Histogram(
            "framewise_release_seconds",
            "Seconds from a client's disconnect until all resources of its request are free.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._job_attempts = Counter(
            "framewise_job_attempts", "Attempts to run a job, by outcome.", ["outcome"], registry=self.registry
        )
        self._deliveries = Counter(
            "framewise_webhook_deliveries",
            "Webhook deliveries, by outcome; `given_up` counts webhooks.",
            ["outcome"],
            registry=self.registry,
        )

    def count_attempt(self, outcome: str) -> None:
        """Count an ended attempt to run a job: `done`, `failed`, `retried`, `given_back`, `dropped` or `abandoned`."""
        self._job_attempts.labels(outcome).inc()

    def count_delivery(self, outcome: str) -> None:
        """Count a webhook delivery: `delivered` or `failed`; or a webhook that is `given_up`."""
        self._deliveries.labels(outcome).inc()

    def observe_release(self, seconds: float) -> None:
        """Record the seconds from a client's disconnect until all resources of its request were free."""
        self._release_seconds.observe(seconds)

    def count_request(self, route: str | None, status: int, seconds: float) -> None:
        """Count an ended request; `route` is the matched path template, None if no route matched."""
        route = _OTHER if route is None else route
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def observe_timings(self, timings_ms: dict[str, float]) -> None:
        """Record the stages of a successful request; a stage of 0 ms did not take place."""
        for stage, milliseconds in timings_ms.items():
            if milliseconds:
                self._stage_seconds.labels(stage).observe(milliseconds / 1000)

    def count_decode(self, facts: VideoFacts | None, outcome: str) -> None:
        """Count an ended decode: `decoded`, `abandoned` or an error class; `facts` is None if none were read."""
        container = codec = _UNKNOWN
        if facts is not None:
            # The worker that reports the facts parsed an untrusted file: only probed formats become labels.
            container = facts.container if facts.container in self._formats.probed.containers else _OTHER
            codec = facts.codec if facts.codec in self._formats.probed.codecs else _OTHER
        self._decodes.labels(container, codec, outcome).inc()

    def forget_model(self, model: str, version: str) -> None:
        """Remove the series of an unloaded model, so that they do not accumulate with every version."""
        self._batch_clips.remove(model, version)
        self._model_seconds.remove(model, version)

    def observe_batch(self, model: str, version: str, num_clips: int, seconds: float) -> None:
        """Record one call of a model with `num_clips` clips."""
        self._batch_clips.labels(model, version).observe(num_clips)
        self._model_seconds.labels(model, version).observe(seconds)
