"""The inputs of one training run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_training.config import TrainConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.input_pipeline.batch import Batch
from model_training.progress import RunProgress


@dataclass(frozen=True, slots=True)
class PrecomputedFeatures:
    """The outputs of the first stage's frozen part: augmented views of the training clips, and the validation clips."""

    views: Sequence[Batch]
    validation: Batch


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Config, clips and folders of a run; `is_stopping` is polled between steps.

    `precomputed` spares the first stages the forward pass through the frozen backbone.
    """

    config: TrainConfig
    labels: Sequence[str]
    training: Sequence[CachedClip]
    validation: Sequence[CachedClip]
    run_directory: Path
    display: RunProgress
    is_stopping: Callable[[], bool]
    precomputed: PrecomputedFeatures | None = None
