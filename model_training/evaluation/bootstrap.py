"""Confidence intervals by bootstrap over groups: videos of one group are not independent."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap

from model_training.evaluation.results import Interval

NUM_RESAMPLES = 500
_LEAST_GROUPS = 2

Rows = NDArray[np.int64]


def group_interval(statistic: Callable[[Rows], float], groups: Sequence[str]) -> Interval | None:
    """The 95 % percentile interval of `statistic(rows)` over resampled groups (SciPy's `bootstrap`).

    `groups` contains the group of each row. Resamples with a statistic of NaN are ignored. Returns None with
    fewer than two groups, or if all resamples are NaN. Deterministic.
    """
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < _LEAST_GROUPS:
        return None
    rows_of = [np.flatnonzero(group_of == group) for group in range(len(names))]

    def of_groups(sampled: Rows) -> float:
        return statistic(np.concatenate([rows_of[int(group)] for group in sampled]))

    with warnings.catch_warnings():
        # Resamples without a value are ignored below.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        distribution = bootstrap(
            (np.arange(len(names)),),
            of_groups,
            vectorized=False,
            n_resamples=NUM_RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(0),
        ).bootstrap_distribution
    known = distribution[~np.isnan(distribution)]
    if not len(known):
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return Interval(low=round(float(low), 4), high=round(float(high), 4))


def mean_interval(values: Sequence[float], groups: Sequence[str]) -> Interval | None:
    """The `group_interval` of the mean of `values`."""
    known = np.asarray(values, np.float64)
    return group_interval(lambda rows: float(known[rows].mean()), groups)
