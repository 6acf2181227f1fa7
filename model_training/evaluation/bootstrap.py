"""How sure a figure is, given that videos of one group are not independent. SciPy does the drawing."""

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
    """The 95 % percentile interval of `statistic(rows)` when whole groups are drawn with replacement.

    `groups` names the group of each row. Draws for which the statistic is NaN are left out. None with
    fewer than two groups, or where no draw has a value. The same input gives the same interval.
    """
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < _LEAST_GROUPS:
        return None
    rows_of = [np.flatnonzero(group_of == group) for group in range(len(names))]

    def of_groups(drawn: Rows) -> float:
        return statistic(np.concatenate([rows_of[int(group)] for group in drawn]))

    with warnings.catch_warnings():
        # Of draws without a value, which are left out below.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        drawn = bootstrap(
            (np.arange(len(names)),),
            of_groups,
            vectorized=False,
            n_resamples=NUM_RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(0),
        ).bootstrap_distribution
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return Interval(low=round(float(low), 4), high=round(float(high), 4))


def mean_interval(values: Sequence[float], groups: Sequence[str]) -> Interval | None:
    """`group_interval` of a mean."""
    known = np.asarray(values, np.float64)
    return group_interval(lambda rows: float(known[rows].mean()), groups)
