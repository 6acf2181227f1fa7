"""All that an interrupted run needs to go on as if nothing had happened, in one file."""

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
_KINDS = ("weights", "best_weights", "moments")


def values_of(variables: Sequence[Any]) -> Arrays:
    """What Keras variables hold, copied."""
    return [np.array(variable.value.numpy()) for variable in variables]


def assign(variables: Sequence[Any], values: Arrays) -> None:
    """Put `values` into the variables, one each."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`weights` hold the random state of dropout too; `moments`, what optimiser and averages hold in a stage."""

    progress: RunState
    weights: Arrays
    best_weights: Arrays
    moments: Arrays


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Put `checkpoint` in `path`, whole or not at all: an older one stays until the new one is there."""
    arrays = {f"{kind}.{index}": array for kind in _KINDS for index, array in enumerate(getattr(checkpoint, kind))}
    try:
        with atomic_path(path) as partial, partial.open("wb") as file:
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
            progress = RunState(**json.loads(str(stored["progress"])))
            counts = {kind: sum(name.startswith(f"{kind}.") for name in stored.files) for kind in _KINDS}
            parts = {kind: [stored[f"{kind}.{i}"] for i in range(count)] for kind, count in counts.items()}
    except (*TORN_FILE_ERRORS, TypeError) as error:
        raise TrainingError(f"{path}: not a checkpoint; delete its folder to train afresh") from error
    return Checkpoint(progress, parts["weights"], parts["best_weights"], parts["moments"])
