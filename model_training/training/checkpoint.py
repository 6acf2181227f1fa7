"""The checkpoint of a run: one file with everything that is needed to resume it."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.atomic_files import TORN_FILE_ERRORS, atomic_path
from model_training.errors import TrainingError
from model_training.run_state import RunState

Arrays = Sequence[NDArray[Any]]
_ARRAY_LISTS = ("weights", "best_weights", "optimiser_state")


def checkpoint_path(run_directory: Path) -> Path:
    """The checkpoint file of a run."""
    return run_directory / "checkpoint.npz"


def values_of(variables: Sequence[Any]) -> Arrays:
    """Copies of the values of Keras variables."""
    return [np.array(variable.value.numpy()) for variable in variables]


def assign(variables: Sequence[Any], values: Arrays) -> None:
    """Assign one of `values` to each variable."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run between two steps.

    `weights` include the random state of dropout. `optimiser_state` includes the averaged weights; it is empty
    between two stages.
    """

    state: RunState
    weights: Arrays
    best_weights: Arrays
    optimiser_state: Arrays


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path` atomically: an older file stays until the new one is complete.

    Raises:
        TrainingError: the file cannot be written.
    """
    arrays = {
        f"{name}.{index}": array for name in _ARRAY_LISTS for index, array in enumerate(getattr(checkpoint, name))
    }
    try:
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, state=np.array(json.dumps(asdict(checkpoint.state))), **arrays)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TrainingError(f"{path}: cannot save the checkpoint: {error.strerror}") from error


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Read the checkpoint in `path`; None if the file does not exist.

    Raises:
        TrainingError: the file is not a checkpoint.
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file) as stored:
            state = RunState(**json.loads(str(stored["state"])))
            counts = {name: sum(key.startswith(f"{name}.") for key in stored.files) for name in _ARRAY_LISTS}
            lists = {name: [stored[f"{name}.{i}"] for i in range(count)] for name, count in counts.items()}
    except (*TORN_FILE_ERRORS, TypeError) as error:
        raise TrainingError(f"{path}: not a checkpoint; delete its folder to train from the start") from error
    return Checkpoint(state, lists["weights"], lists["best_weights"], lists["optimiser_state"])
