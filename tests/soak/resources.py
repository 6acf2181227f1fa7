"""What the service holds over time, and whether it grows."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support.process_tree import num_descriptors, num_files, process_tree, resident_bytes

_MIB = 1 << 20
_SAMPLE_SECONDS = 0.5
_REST_SECONDS = 60.0
WARM_UP_FRACTION = 1 / 3
"""The part of a run that is left out: pools, caches and allocators fill in it."""

MAX_GROWTH: dict[str, float] = {
    "service_resident_bytes": 48 * _MIB,
    "children_resident_bytes": 96 * _MIB,
    "num_children": 1,
    "num_descriptors": 16,
    "num_files": 8,
}
"""Most that the trend of each resource may rise from the end of the warm-up to the end of the traffic.

The trend is a line fitted by least squares, so that requests in progress, which come and go, hardly count. The limits
do not depend on the length of the run: the longer it is, the smaller the leak that it finds.
"""
MAX_MORE_AT_REST: dict[str, float] = {"num_children": 0, "num_descriptors": 8, "num_files": 0}
"""Most that a service without requests may hold after the traffic, more than before it."""


@dataclass(frozen=True)
class Sample:
    """Resources at one moment; `at_seconds` counts from the start of the traffic."""

    at_seconds: float
    service_resident_bytes: int
    children_resident_bytes: int
    num_children: int
    num_descriptors: int
    num_files: int
    """Files of uploads and temporary files, without the database."""


class ResourceWatch:
    """Samples the resources of the service with that process id, and of all processes below it."""

    def __init__(self, process_id: int, directories: Sequence[Path]) -> None:
        self._process_id = process_id
        self._directories = directories
        self.samples: list[Sample] = []

    def sample(self, at_seconds: float = 0) -> Sample:
        """The resources now."""
        processes = process_tree(self._process_id)
        return Sample(
            at_seconds=round(at_seconds, 3),
            service_resident_bytes=resident_bytes(self._process_id),
            children_resident_bytes=sum(resident_bytes(child) for child in processes - {self._process_id}),
            num_children=len(processes) - 1,
            num_descriptors=sum(num_descriptors(process) for process in processes),
            num_files=sum(num_files(directory) for directory in self._directories),
        )

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sample for the length of the context."""
        is_over = threading.Event()
        started_at = time.monotonic()

        def watch() -> None:
            while not is_over.wait(_SAMPLE_SECONDS):
                self.samples.append(self.sample(time.monotonic() - started_at))

        thread = threading.Thread(target=watch, name="resources")
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def sample_at_rest(self, before: Sample) -> Sample:
        """The resources once they are down to those of `before`, or after a minute."""
        ends_at = time.monotonic() + _REST_SECONDS
        while held_at_rest(before, now := self.sample()) and time.monotonic() < ends_at:
            threading.Event().wait(_SAMPLE_SECONDS)
        return now


def trends(samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """For each resource: level and growth after the warm-up, the limit, and the growth per hour."""
    last = samples[-1].at_seconds
    settled = [sample for sample in samples if sample.at_seconds >= WARM_UP_FRACTION * last]
    times = [sample.at_seconds for sample in settled]
    found = {}
    for name, limit in MAX_GROWTH.items():
        values = [float(getattr(sample, name)) for sample in settled]
        slope = statistics.linear_regression(times, values).slope
        found[name] = {
            "median": statistics.median(values),
            "peak": max(values),
            "growth": round(slope * (times[-1] - times[0]), 2),
            "max_growth": limit,
            "growth_per_hour": round(slope * 3600, 2),
        }
    return found


def growing(found: dict[str, dict[str, Any]]) -> list[str]:
    """The resources that grow more than allowed, as facts."""
    return [
        f"{name} grew by {trend['growth']:.0f} after the warm-up; the limit is {trend['max_growth']:.0f}"
        for name, trend in found.items()
        if trend["growth"] > trend["max_growth"]
    ]


def held_at_rest(before: Sample, after: Sample) -> list[str]:
    """The resources that a service without requests has not given back, as facts."""
    return [
        f"{name} is {getattr(after, name)} at rest, {getattr(before, name)} before the traffic"
        for name, allowed in MAX_MORE_AT_REST.items()
        if getattr(after, name) > getattr(before, name) + allowed
    ]


def resources_report(
    watch: ResourceWatch, before: Sample, after: Sample, violate: Callable[[str, str], None]
) -> dict[str, Any]:
    """Trends and levels at rest as JSON values; each violation is reported to `violate`."""
    found = trends(watch.samples)
    for fact in (*growing(found), *held_at_rest(before, after)):
        violate("resources", fact)
    return {
        "num_samples": len(watch.samples),
        "trends": found,
        "at_rest_before": asdict(before),
        "at_rest_after": asdict(after),
    }
