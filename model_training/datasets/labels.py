"""Labels as arrays of training targets."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_training.config import HeadKind
from model_training.datasets.clip_cache import CachedClip


def targets_of(labels_of_clips: Sequence[tuple[str, ...]], labels: Sequence[str]) -> NDArray[np.float32]:
    """1 for each of a clip's labels and 0 for the others, float32 [N, K]."""
    targets = np.zeros((len(labels_of_clips), len(labels)), np.float32)
    for row, own in zip(targets, labels_of_clips, strict=True):
        row[[labels.index(label) for label in own]] = 1
    return targets


def clip_targets(clips: Sequence[CachedClip], labels: Sequence[str], kind: HeadKind) -> NDArray[np.float32]:
    """1 for each of a clip's labels, float32 [N, K].

    Raises:
        TrainingDataError: a clip has several labels, or none, and the head answers one.
    """
    if kind == "multi_label":
        return targets_of([clip.example.labels for clip in clips], labels)
    return targets_of([(clip.example.label,) for clip in clips], labels)
