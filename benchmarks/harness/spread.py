"""Medians, quartiles and percentiles of a sample. Pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """Number of values, quartiles and percentiles of a sample of at least one value."""

    num_values: int
    p25: float
    median: float
    p75: float
    p90: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of `values`."""
        p25, median, p75, p90, p99 = (float(np.percentile(values, percent)) for percent in (25, 50, 75, 90, 99))
        return cls(len(values), p25, median, p75, p90, p99)

    def scaled(self, factor: float) -> "Spread":
        """The same spread in another unit."""
        return Spread(
            self.num_values,
            *(factor * value for value in (self.p25, self.median, self.p75, self.p90, self.p99)),
        )

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.p25:.3g}, {self.p75:.3g}]"
