"""What happened, counted for Prometheus.

One process serves, so its registry is the whole truth and no multiprocess mode is needed. Every label's
values come from a set that callers cannot grow: routes as they are declared, models on disk, formats
probed at start, names of our own errors.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from service.video.clip import VideoFacts
from service.video.sandbox.formats import Formats

# From a cached answer to the longest deadline one meets in practice.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_CLIPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_OTHER = "other"
_UNKNOWN = "unknown"


class Metrics:
    """Counters and histograms in a registry of their own."""

    def __init__(self, formats: Formats) -> None:
        self._formats = formats
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "framewise_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self._request_seconds = Histogram(
            "framewise_request_seconds",
            "From a request's first byte to its answer's last.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "framewise_stage_seconds",
            "Stages of requests that were answered, as in their `timings_ms`.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._decodes = Counter(
            "framewise_decodes",
            "Videos given to a decode child, those replayed at start included.",
            ["container", "codec", "outcome"],
            registry=self.registry,
        )
        self._batch_clips = Histogram(
            "framewise_batch_clips",
            "Clips answered by one call of a model.",
            ["model", "version"],
            buckets=_CLIPS,
            registry=self.registry,
        )
        self._model_seconds = Histogram(
            "framewise_model_seconds",
            "Time of one call of a model.",
            ["model", "version"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._release_seconds = Histogram(
            "framewise_release_seconds",
            "From a client's leaving until all that its request held was free again.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._job_attempts = Counter(
            "framewise_job_attempts", "Attempts to run a job, by how they ended.", ["outcome"], registry=self.registry
        )
        self._deliveries = Counter(
            "framewise_webhook_deliveries",
            "Deliveries of webhooks, and webhooks given up.",
            ["outcome"],
            registry=self.registry,
        )

    def count_attempt(self, outcome: str) -> None:
        """An attempt to run a job has ended: `done`, `failed`, `given_back`, `dropped` or `abandoned`."""
        self._job_attempts.labels(outcome).inc()

    def count_delivery(self, outcome: str) -> None:
        """A webhook was `delivered`, `failed` to be, or is `given_up`."""
        self._deliveries.labels(outcome).inc()

    def observe_release(self, seconds: float) -> None:
        """All that a client who left had held was free again after so many seconds."""
        self._release_seconds.observe(seconds)

    def count_request(self, route: str | None, status: int, seconds: float) -> None:
        """A request has ended; `route` is the template it matched, None where it matched none."""
        route = _OTHER if route is None else route
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def observe_timings(self, timings_ms: dict[str, float]) -> None:
        """A request was answered after stages of these lengths; one of no length was not there."""
        for stage, milliseconds in timings_ms.items():
            if milliseconds:
                self._stage_seconds.labels(stage).observe(milliseconds / 1000)

    def count_decode(self, facts: VideoFacts | None, outcome: str) -> None:
        """A decode has ended: `decoded`, `abandoned`, or with the error of that name; `facts` if it came to any."""
        container = codec = _UNKNOWN
        if facts is not None:
            # The child that says so read a stranger's file: what it says is held against what was probed.
            container = facts.container if facts.container in self._formats.probed.containers else _OTHER
            codec = facts.codec if facts.codec in self._formats.probed.codecs else _OTHER
        self._decodes.labels(container, codec, outcome).inc()

    def forget_model(self, model: str, version: str) -> None:
        """A model was unloaded: its series end, or they would grow with every version there ever was."""
        self._batch_clips.remove(model, version)
        self._model_seconds.remove(model, version)

    def observe_batch(self, model: str, version: str, num_clips: int, seconds: float) -> None:
        """A model has answered `num_clips` in one call."""
        self._batch_clips.labels(model, version).observe(num_clips)
        self._model_seconds.labels(model, version).observe(seconds)
