"""The outcomes of all requests: counts, durations, and the violations of what the service promises."""

import math
import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

_MIN_FOR_QUANTILES = 2


@dataclass
class Violation:
    """One thing that must not happen; the same fact of the same caller is one violation with a count."""

    caller: str
    fact: str
    first_at_seconds: float
    """From the start of the run."""
    first_detail: str
    num: int = 0


class Ledger:
    """Records what threads report."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started_at = time.monotonic()
        self._outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._violations: dict[tuple[str, str], Violation] = {}

    @property
    def elapsed_seconds(self) -> float:
        """Time since the start of the run."""
        return time.monotonic() - self._started_at

    def record(self, caller: str, outcome: str, seconds: float | None = None) -> None:
        """Count the outcome of one request; `seconds` is how long its caller waited."""
        with self._lock:
            self._outcomes[caller][outcome] += 1
            if seconds is not None:
                self._seconds[caller].append(seconds)

    def violate(self, caller: str, fact: str, detail: str = "") -> None:
        """Record a violation; `detail` is what differs each time, such as the body of a response."""
        with self._lock:
            new = Violation(caller, fact, round(self.elapsed_seconds, 2), detail)
            self._violations.setdefault((caller, fact), new).num += 1

    @property
    def violations(self) -> list[Violation]:
        """The violations in the order in which they came first."""
        with self._lock:
            return list(self._violations.values())

    @property
    def num_violations(self) -> int:
        """How often anything was violated."""
        return sum(violation.num for violation in self.violations)

    def outcomes(self) -> dict[str, dict[str, int]]:
        """Number of requests by caller and outcome."""
        with self._lock:
            return {caller: dict(sorted(counts.items())) for caller, counts in sorted(self._outcomes.items())}

    def durations(self) -> dict[str, dict[str, float]]:
        """Percentiles of the seconds that each caller waited."""
        with self._lock:
            return {caller: percentiles(seconds) for caller, seconds in sorted(self._seconds.items())}

    def report(self) -> dict[str, Any]:
        """The content of the ledger as JSON values."""
        outcomes = self.outcomes()
        return {
            "num_requests": sum(sum(counts.values()) for counts in outcomes.values()),
            "requests": outcomes,
            "seconds": self.durations(),
            "num_violations": self.num_violations,
            "violations": [asdict(violation) for violation in self.violations],
        }


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Number of values, median, 99th percentile and maximum."""
    if not seconds:
        return {"num": 0, "p50": math.nan, "p99": math.nan, "max": math.nan}
    cuts = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) >= _MIN_FOR_QUANTILES else []
    return {
        "num": len(seconds),
        "p50": round(statistics.median(seconds), 4),
        "p99": round(cuts[-1] if cuts else seconds[0], 4),
        "max": round(max(seconds), 4),
    }
