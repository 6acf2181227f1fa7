"""Whether a prediction is correct."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_THRESHOLD = 0.5


def is_correct(
    probabilities: NDArray[np.float64], true_labels: Sequence[str], labels: Sequence[str], *, sums_to_one: bool
) -> bool:
    """Whether the most probable label is the true one; with independent labels, whether all labels are right.

    Independent labels are predicted above a probability of 0.5.
    """
    if sums_to_one:
        return (labels[int(probabilities.argmax())],) == tuple(true_labels)
    return {label for label, value in zip(labels, probabilities, strict=True) if value > _THRESHOLD} == set(true_labels)
