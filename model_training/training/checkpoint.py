"""All that an interrupted run needs to go on as if nothing had happened, in one file."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.atomic_files import TORN, replacing
from model_training.errors import TrainingError

Arrays = Sequence[NDArray[Any]]
_KINDS = ("weights", "best_weights", "moments")


def values_of(variables: Sequence[Any]) -> Arrays:
    """What Keras variables hold, copied."""
    return [np.array(variable.value.numpy()) for variable in variables]


def assign(variables: Sequence[Any], values: Arrays) -> None:
    """Put `values` into the variables, one each."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """What an epoch came to on the validation clips, and the share of the kernels' numbers that are 0."""

    validation_loss: float
    validation_accuracy: float
    sparsity: float

    def named(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


@dataclass(slots=True)
class Progress:
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

    def end_epoch(self, stage_name: str, figures: EpochFigures, *, may_be_best: bool, is_newest_kept: bool) -> bool:
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


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`weights` hold the random state of dropout too; `moments`, what optimiser and averages hold in a stage."""

    progress: Progress
    weights: Arrays
    best_weights: Arrays
    moments: Arrays


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Put `checkpoint` in `path`, whole or not at all: an older one stays until the new one is there."""
    arrays = {f"{kind}.{index}": array for kind in _KINDS for index, array in enumerate(getattr(checkpoint, kind))}
    try:
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, progress=np.array(json.dumps(asdict(checkpoint.progress))), **arrays)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TrainingError(f"{path}: cannot save the checkpoint: {error.strerror}") from error


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint in `path`; None where there is none.

    Raises:
        TrainingError: the file is not a checkpoint.
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file) as stored:
            progress = Progress(**json.loads(str(stored["progress"])))
            counts = {kind: sum(name.startswith(f"{kind}.") for name in stored.files) for kind in _KINDS}
            parts = {kind: [stored[f"{kind}.{i}"] for i in range(count)] for kind, count in counts.items()}
    except (*TORN, TypeError) as error:
        raise TrainingError(f"{path}: not a checkpoint; delete its folder to train afresh") from error
    return Checkpoint(progress, parts["weights"], parts["best_weights"], parts["moments"])
