"""How far a training run has come: what a checkpoint holds and the progress display shows."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """What an epoch came to on the validation clips, and the share of the kernels' numbers that are 0."""

    validation_loss: float
    validation_accuracy: float
    sparsity: float

    def named(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


@dataclass(slots=True)
class RunState:
    """How far a run has come. Sums are over the epoch under way; `step` counts its steps done."""

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
        """Whether the stage under way has yet to take its first step."""
        return self.epoch == 0 and self.step == 0

    def add_step(self, loss_sum: float, num_correct: int, num_clips: int) -> None:
        """One step on `num_clips` clips is done."""
        self.step += 1
        self.loss_sum += loss_sum
        self.num_correct += num_correct
        self.num_seen += num_clips

    def end_epoch(self, stage_name: str, figures: EpochMetrics, *, may_be_best: bool, is_newest_kept: bool) -> bool:
        """Close the epoch under way; true if its weights are kept in place of those kept before.

        They are if they may be, and if either the newest always are or no validation loss before was so low.
        """
        is_kept = may_be_best and (is_newest_kept or figures.validation_loss < self.best_loss)
        self.history.append(
            {
                "stage": stage_name,
                "epoch": self.epoch,
                "loss": self.loss_sum / self.num_seen,
                "accuracy": self.num_correct / self.num_seen,
                **figures.named(),
                "is_kept": is_kept,
            }
        )
        self.best_loss = figures.validation_loss if is_kept else self.best_loss
        # Nobody's patience ends with epochs that could not have been kept.
        self.epochs_since_best = 0 if is_kept or not may_be_best else self.epochs_since_best + 1
        self.epoch += 1
        self.step, self.loss_sum, self.num_correct, self.num_seen = 0, 0.0, 0, 0
        return is_kept

    def end_stage(self, *, is_last: bool) -> None:
        """Go on to the next stage, if there is one."""
        self.stage, self.epoch, self.epochs_since_best = self.stage + 1, 0, 0
        self.is_finished = is_last
