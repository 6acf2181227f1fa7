"""Batches of decoded clips, loaded, augmented and mixed on all cores by tf.data while a training step computes.

Every random decision has a generator of its own, seeded by its position in the epoch. So an epoch can be entered
at any step, and the number of threads does not change the batches.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model_training.config import AugmentConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.errors import TrainingDataError
from model_training.input_pipeline.augment import TrainingClip, augment_clip, mix_clips
from model_training.input_pipeline.batch import Batch
from model_training.input_pipeline.sampling import Sampling, epoch_order

_NUM_BATCHES_AHEAD = 2
_MIXING = 1
"""Part of the seed: separates the generator that mixes a batch from the generators that augment its clips."""
_CLIP_TYPES = (tf.uint8, tf.bool, tf.bool, tf.float32)


@dataclass(frozen=True, slots=True)
class PixelDataset:
    """Batches of frames; `targets` float32 [N,K] belong to `clips`."""

    clips: Sequence[CachedClip]
    targets: NDArray[np.float32]
    augment: AugmentConfig
    seed: tuple[int, ...]
    sampling: Sampling = "shuffled"

    def batches(self, epoch: int | None, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the epoch's batches from `first_step` on.

        Raises:
            TrainingDataError: a decoded clip cannot be read from the cache.
        """
        order = epoch_order(self.targets, self.seed, epoch, self.sampling)
        return self.ordered_batches(order, epoch, batch_size, first_step)

    def ordered_batches(
        self, order: NDArray[np.int64], epoch: int | None, batch_size: int, first_step: int = 0
    ) -> Iterator[Batch]:
        """Yield batches of the clips at the indices `order`, from `first_step` on."""
        positions = np.arange(first_step * batch_size, len(order))
        if len(positions) == 0:
            return
        dataset = self._tf_dataset(positions, order, epoch, batch_size)
        try:
            for arrays in dataset.as_numpy_iterator():
                yield Batch(*arrays)
        except tf.errors.OpError as error:
            # TensorFlow puts the whole traceback in the message; the original error is its first line.
            raise TrainingDataError(
                f"a decoded clip cannot be read from the cache: {error.message.splitlines()[0]}"
            ) from error

    def _tf_dataset(
        self, positions: NDArray[np.int64], order: NDArray[np.int64], epoch: int | None, batch_size: int
    ) -> Any:
        def load(position: Any) -> Any:
            return _numpy_call(lambda p: self._clip(int(order[p]), epoch, int(p)), (position,), _CLIP_TYPES)

        def mix(positions: Any, frames: Any, valid: Any, is_in_event: Any, distillation_targets: Any) -> Any:
            mixed, targets = _numpy_call(
                lambda p, f, v: self._mixed(order[p], epoch, int(p[0]) // batch_size, f, v),
                (positions, frames, valid),
                (tf.uint8, tf.float32),
            )
            return mixed, valid, targets, is_in_event, distillation_targets

        dataset = tf.data.Dataset.from_tensor_slices(positions)
        # A fixed number of threads: autotuning starts with one thread, and a short epoch ends before it adds more.
        dataset = dataset.map(lambda p: (p, *load(p)), num_parallel_calls=os.cpu_count(), deterministic=True)
        dataset = dataset.batch(batch_size).map(mix).prefetch(_NUM_BATCHES_AHEAD)
        options = tf.data.Options()
        # A private thread pool: the training step occupies the shared one while the next batch is prepared.
        options.threading.private_threadpool_size = os.cpu_count()
        return dataset.with_options(options)

    def _clip(
        self, index: int, epoch: int | None, position: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32]]:
        cached = self.clips[index]
        clip = TrainingClip(cached.frames(), cached.valid, cached.is_in_event)
        if epoch is not None:
            clip = augment_clip(clip, self.augment, np.random.default_rng((*self.seed, epoch, position)))
        target = np.zeros(0, np.float32) if cached.distillation_target is None else cached.distillation_target
        return clip.frames, clip.valid, clip.is_in_event, target

    def _mixed(
        self, indices: NDArray[np.int64], epoch: int | None, step: int, frames: NDArray[Any], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        targets = self.targets[indices]
        if epoch is None or self.augment.mixup_alpha == 0:
            return frames, targets
        rng = np.random.default_rng((*self.seed, epoch, step, _MIXING))
        return mix_clips(frames, valid, targets, self.augment.mixup_alpha, rng)


def _numpy_call(function: Callable[..., Any], inputs: tuple[Any, ...], types: tuple[Any, ...]) -> Any:
    # Not stateful: with deterministic operations tf.data runs stateful functions on one thread.
    return tf.numpy_function(function, inputs, types, stateful=False)
