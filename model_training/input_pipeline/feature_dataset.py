"""Batches of precomputed features: the output of a frozen backbone for a few augmented views of each clip."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.atomic_files import atomic_path, read_arrays
from model_training.errors import TrainingDataError
from model_training.input_pipeline.batch import ARRAYS, Batch
from model_training.input_pipeline.pixel_dataset import PixelDataset
from model_training.input_pipeline.sampling import Sampling, epoch_order

_BATCH_SIZE = 8


@dataclass(frozen=True, slots=True)
class FeatureDataset:
    """Batches of precomputed features; epoch `e` uses view `e` modulo the number of views."""

    views: Sequence[Batch]
    seed: tuple[int, ...]
    sampling: Sampling = "shuffled"

    def batches(self, epoch: int | None, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the epoch's batches from `first_step` on."""
        view = self.views[(epoch or 0) % len(self.views)]
        order = epoch_order(view.targets, self.seed, epoch, self.sampling)
        for start in range(first_step * batch_size, len(order), batch_size):
            yield view.select(order[start : start + batch_size])


def feature_view(
    dataset: PixelDataset,
    epoch: int | None,
    features_of: Callable[[NDArray[Any], NDArray[np.bool_]], NDArray[np.float32]],
    path: Path,
    on_clips: Callable[[int], None],
) -> Batch:
    """The features of all clips in one view, in the clips' order; read from `path`, or computed and written there.

    The view has the augmentation of `epoch`; None means no augmentation.

    Raises:
        TrainingDataError: a clip cannot be read, or the features cannot be written.
    """
    stored = read_arrays(path)
    if stored is not None and stored.keys() >= set(ARRAYS):
        on_clips(len(stored["targets"]))
        return Batch(*(stored[name] for name in ARRAYS))
    view = _compute_view(dataset, epoch, features_of, on_clips)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, **{name: getattr(view, name) for name in ARRAYS})
    except OSError as error:
        raise TrainingDataError(f"{path}: cannot write the features: {error.strerror}") from error
    return view


def _compute_view(
    dataset: PixelDataset,
    epoch: int | None,
    features_of: Callable[[NDArray[Any], NDArray[np.bool_]], NDArray[np.float32]],
    on_clips: Callable[[int], None],
) -> Batch:
    # Shuffled, so that mixup does not blend clips of one label only.
    order = epoch_order(dataset.targets, dataset.seed, epoch, "shuffled")
    parts = []
    for batch in dataset.ordered_batches(order, epoch, _BATCH_SIZE):
        parts.append(replace(batch, inputs=features_of(batch.inputs, batch.valid)))
        on_clips(len(batch.targets))
    unshuffle = np.argsort(order)
    return Batch(*(np.concatenate([getattr(part, name) for part in parts])[unshuffle] for name in ARRAYS))
