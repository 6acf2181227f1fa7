"""State of a training run, as checkpoints store it and the progress display shows it."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """Validation metrics of an epoch, and the fraction of kernel parameters that are 0 (sparsity)."""

    validation_loss: float
    validation_accuracy: float
    sparsity: float

    def as_dict(self) -> dict[str, float]:
        """The metrics by name."""
        return asdict(self)


@dataclass(slots=True)
class RunState:
    """Position and history of a run. Sums are over the current epoch; `step` counts its finished steps."""

    stage: int = 0
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    num_correct: int = 0
    num_seen: int = 0
    best_loss: float = math.inf
    epochs_since_best: int = 0
    is_finished: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry per finished epoch."""

    @property
    def is_at_start(self) -> bool:
        """Whether the current stage has not taken its first step."""
        return self.epoch == 0 and self.step == 0

    def add_step(self, loss_sum: float, num_correct: int, num_clips: int) -> None:
        """Record a step on `num_clips` clips."""
        self.step += 1
        self.loss_sum += loss_sum
        self.num_correct += num_correct
        self.num_seen += num_clips

    def end_epoch(self, stage_name: str, metrics: EpochMetrics, *, may_be_best: bool, is_newest_kept: bool) -> bool:
        """End the current epoch; returns whether its weights replace the kept weights.

        They do if `may_be_best` and either `is_newest_kept` or the validation loss is the lowest so far.
        """
        is_kept = may_be_best and (is_newest_kept or metrics.validation_loss < self.best_loss)
        self.history.append(
            {
                "stage": stage_name,
                "epoch": self.epoch,
                "loss": self.loss_sum / self.num_seen,
                "accuracy": self.num_correct / self.num_seen,
                **metrics.as_dict(),
                "is_kept": is_kept,
            }
        )
        self.best_loss = metrics.validation_loss if is_kept else self.best_loss
        # Epochs that cannot be kept do not count against the patience.
        self.epochs_since_best = 0 if is_kept or not may_be_best else self.epochs_since_best + 1
        self.epoch += 1
        self.step, self.loss_sum, self.num_correct, self.num_seen = 0, 0.0, 0, 0
        return is_kept

    def end_stage(self, *, is_last: bool) -> None:
        """Move to the next stage; `is_last` finishes the run."""
        self.stage, self.epoch, self.epochs_since_best = self.stage + 1, 0, 0
        self.is_finished = is_last
