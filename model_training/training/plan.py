"""What one training run is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_training.config import TrainConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.input_pipeline.batches import Batch
from model_training.progress import RunProgress


@dataclass(frozen=True, slots=True)
class StoredFeatures:
    """What the first stage's frozen part made of a run's clips beforehand: views to train on, and validation."""

    views: Sequence[Batch]
    validation: Batch


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What to train, on what, where to keep the checkpoint, and whom to ask whether to stop.

    `stored`, where given, spares the first stages their way through the frozen backbone.
    """

    config: TrainConfig
    labels: Sequence[str]
    training: Sequence[CachedClip]
    validation: Sequence[CachedClip]
    run_directory: Path
    display: RunProgress
    is_stopping: Callable[[], bool]
    stored: StoredFeatures | None = None
