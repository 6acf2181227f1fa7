"""Data and features for cross-validation in memory."""

# TensorFlow is loaded only when it is needed.
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Any

import numpy as np

from model_training.config import StageConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.progress import RunProgress

FROZEN = StageConfig(name="head", num_epochs=12, learning_rate=3e-2, backbone="frozen", num_feature_views=1)


def fold_data(clips: list[CachedClip], directory: Path, is_stopping: Any = lambda: False) -> Any:
    """The `FoldData` of the clips, with labels a and b."""
    from model_training.cross_validation.fold_data import FoldData

    return FoldData([clip.example for clip in clips], ("a", "b"), clips, directory, RunProgress(), is_stopping)


def separable_features(clips: list[CachedClip]) -> Any:
    """Features that separate the labels; shuffled clips have the features of the other label."""
    from model_training.cross_validation.fold_data import SharedFeatures
    from model_training.input_pipeline.batch import Batch

    targets = np.eye(2, dtype=np.float32)[[i % 2 for i in range(16)]]
    valid, outside_event = np.ones((16, 4), bool), np.zeros((16, 4), bool)
    features = np.repeat(np.repeat(targets[:, None], 4, axis=1), 80, axis=2)
    rest = (valid, targets, outside_event, np.zeros((16, 0), np.float32))
    unaugmented, shuffled = Batch(features, *rest), Batch(1 - features, *rest)
    assert len(clips) == len(targets)
    return SharedFeatures(views=[unaugmented], unaugmented=unaugmented, shuffled=shuffled)
