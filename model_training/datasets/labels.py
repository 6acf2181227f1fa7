"""Labels as arrays of training targets."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_training.config import HeadKind
from model_training.datasets.clip_cache import CachedClip


def multi_hot_targets(labels_of_clips: Sequence[tuple[str, ...]], labels: Sequence[str]) -> NDArray[np.float32]:
    """Targets float32 [N, K]: 1 for each label of a clip, 0 elsewhere."""
    targets = np.zeros((len(labels_of_clips), len(labels)), np.float32)
    for row, own in zip(targets, labels_of_clips, strict=True):
        row[[labels.index(label) for label in own]] = 1
    return targets


def clip_targets(clips: Sequence[CachedClip], labels: Sequence[str], kind: HeadKind) -> NDArray[np.float32]:
    """Targets float32 [N, K] of the clips: 1 for each label, 0 elsewhere.

    Raises:
        TrainingDataError: a clip does not have exactly one label and the head is not `multi_label`.
    """
    if kind == "multi_label":
        return multi_hot_targets([clip.example.labels for clip in clips], labels)
    return multi_hot_targets([(clip.example.label,) for clip in clips], labels)
