"""Label sets with a target coverage: split conformal prediction (Vovk et al. 2005).

The score of a video is 1 minus the probability of its true label. A set contains each label whose score is at
most a quantile of the calibration scores, and always the most probable label, which can only raise coverage.
The coverage holds on average for exchangeable videos. Videos of one source are not exchangeable, so coverage is
also measured on held-out sources.
"""

from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from model_training.evaluation.metrics import round_metric
from model_training.evaluation.results import LabelSets
from service.inference.manifest import ConformalSets


def fit_label_sets(probabilities: NDArray[np.float64], truths: NDArray[np.int64], coverage: float) -> ConformalSets:
    """Fit the rule for label sets on calibration videos: probabilities [N, K] and true labels `truths` [N].

    The least probability is rounded down. It is 0, so that sets contain all labels, if there are too few videos
    for the coverage.
    """
    of_truth = np.sort(probabilities[np.arange(len(truths)), truths])[::-1]
    rank = ceil((len(truths) + 1) * coverage)
    least = floor(float(of_truth[rank - 1]) * 1e6) / 1e6 if rank <= len(truths) else 0.0
    return ConformalSets(coverage=coverage, least_probability=least)


def label_set_metrics(
    probabilities: NDArray[np.float64], truths: NDArray[np.int64], conformal: ConformalSets
) -> LabelSets:
    """Coverage and mean size of the label sets of these videos."""
    is_in_set = conformal.holds(probabilities)
    return LabelSets(
        coverage_asked=conformal.coverage,
        coverage=round_metric(is_in_set[np.arange(len(truths)), truths].mean()),
        mean_size=round_metric(is_in_set.sum(axis=1).mean()),
    )
