"""Label sets that hold the true label as often as asked: split conformal prediction.

The score of a video is 1 - the probability of its true label; a set holds every label whose score is no
higher than nearly all of those of the calibration videos. The likeliest label is always in the set: that
can only raise coverage. The promise holds on average over videos that come from where the calibration
videos came from, one by one; videos of one source do not, so coverage is measured on held-out sources too.
"""

from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from model_training.evaluation.metrics import round_metric
from model_training.evaluation.results import LabelSets
from service.inference.manifest import ConformalSets


def fit_label_sets(probabilities: NDArray[np.float64], truths: NDArray[np.int64], coverage: float) -> ConformalSets:
    """The sets that probabilities [N, K] and truths [N] of calibration videos ask for.

    The probability is rounded down, never up; it is 0, and every label in every set, where there are too few
    videos for the coverage asked.
    """
    of_truth = np.sort(probabilities[np.arange(len(truths)), truths])[::-1]
    rank = ceil((len(truths) + 1) * coverage)
    least = floor(float(of_truth[rank - 1]) * 1e6) / 1e6 if rank <= len(truths) else 0.0
    return ConformalSets(coverage=coverage, least_probability=least)


def label_set_metrics(
    probabilities: NDArray[np.float64], truths: NDArray[np.int64], conformal: ConformalSets
) -> LabelSets:
    """Measured coverage and mean size of the label sets of these videos."""
    is_in_set = conformal.holds(probabilities)
    return LabelSets(
        coverage_asked=conformal.coverage,
        coverage=round_metric(is_in_set[np.arange(len(truths)), truths].mean()),
        mean_size=round_metric(is_in_set.sum(axis=1).mean()),
    )
