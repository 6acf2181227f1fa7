"""Clips -> batches for training and validation, by tf.data. The same seed gives the same batches, in order.

Two sources of one shape: `PixelSource` augments frames anew each epoch; `FeatureSource` holds what a
frozen backbone made of a few augmented views of each clip, computed once and kept on disk.

Randomness is a generator of its own for each place in an epoch, seeded by that place alone. So an epoch
can be entered at any step, and how many threads worked on it does not show.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from model_training.atomic_files import atomic_path, read_arrays
from model_training.config import AugmentConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.errors import TrainingDataError
from model_training.input_pipeline.augment import TrainingClip, augment_clip, mix_clips
from model_training.input_pipeline.sampling import Sampling, drawn_order

_FEATURE_BATCH_SIZE = 8
_NUM_BATCHES_AHEAD = 2
_MIXING = 1
"""Keeps the generator that mixes a batch apart from those that augment its clips."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step works on.

    `inputs` is uint8 [B,T,H,W,3], or what is stored of it: features float32 [B,S,F] or maps float16
    [B,T,h,w,c]. `valid`, `is_in_event` bool [B,T]. `targets` float32 [B,K] says how much of a clip each
    label is: 1 or 0, unless clips were mixed. `lessons` float32 [B,D] is what a teacher makes of each clip, D = 0
    without a teacher.
    """

    inputs: NDArray[Any]
    valid: NDArray[np.bool_]
    targets: NDArray[np.float32]
    is_in_event: NDArray[np.bool_]
    lessons: NDArray[np.float32]

    def rows(self, places: NDArray[np.int64]) -> "Batch":
        """Those of the clips at `places`, in that order."""
        return Batch(*(getattr(self, name)[places] for name in ARRAYS))


ARRAYS = tuple(field.name for field in fields(Batch))


class Source(Protocol):
    """Where batches come from. `epoch` None means: no augmentation, in the clips' order."""

    def batches(self, epoch: int | None, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """The epoch's batches from `first_step` on."""
        ...


@dataclass(frozen=True, slots=True)
class PixelSource:
    """Batches of frames, loaded and augmented on all cores while a step computes."""

    clips: Sequence[CachedClip]
    targets: NDArray[np.float32]
    augment: AugmentConfig
    seed: tuple[int, ...]
    sampling: Sampling = "shuffled"

    def batches(self, epoch: int | None, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """The epoch's batches from `first_step` on.

        Raises:
            TrainingDataError: a decoded clip cannot be read back from the cache.
        """
        order = drawn_order(self.targets, self.seed, epoch, self.sampling)
        return self.ordered(order, epoch, batch_size, first_step)

    def ordered(
        self, order: NDArray[np.int64], epoch: int | None, batch_size: int, first_step: int = 0
    ) -> Iterator[Batch]:
        """Batches of the clips that `order` names, from `first_step` on."""
        places = np.arange(first_step * batch_size, len(order))
        if len(places) == 0:
            return

        def load(place: Any) -> Any:
            return _numpy_call(lambda p: self._clip(int(order[p]), epoch, int(p)), (place,), _CLIP_TYPES)

        def mix(places: Any, frames: Any, valid: Any, is_in_event: Any, lessons: Any) -> Any:
            mixed, targets = _numpy_call(
                lambda p, f, v: self._mixed(order[p], epoch, int(p[0]) // batch_size, f, v),
                (places, frames, valid),
                (tf.uint8, tf.float32),
            )
            return mixed, valid, targets, is_in_event, lessons

        dataset = tf.data.Dataset.from_tensor_slices(places)
        # A fixed number of threads: tuned ones begin with one, and a short epoch is over before they are more.
        dataset = dataset.map(lambda p: (p, *load(p)), num_parallel_calls=os.cpu_count(), deterministic=True)
        dataset = dataset.batch(batch_size).map(mix).prefetch(_NUM_BATCHES_AHEAD)
        options = tf.data.Options()
        # Threads of its own: those that TensorFlow shares are taken by the step just when the next batch is made.
        options.threading.private_threadpool_size = os.cpu_count()
        dataset = dataset.with_options(options)
        try:
            for arrays in dataset.as_numpy_iterator():
                yield Batch(*arrays)
        except tf.errors.OpError as error:
            # TensorFlow puts the whole traceback in the message; what was raised is its first line.
            raise TrainingDataError(f"a decoded clip cannot be read back: {error.message.splitlines()[0]}") from error

    def _clip(
        self, index: int, epoch: int | None, place: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32]]:
        cached = self.clips[index]
        clip = TrainingClip(cached.frames(), cached.valid, cached.is_in_event)
        if epoch is not None:
            clip = augment_clip(clip, self.augment, np.random.default_rng((*self.seed, epoch, place)))
        lesson = np.zeros(0, np.float32) if cached.lesson is None else cached.lesson
        return clip.frames, clip.valid, clip.is_in_event, lesson

    def _mixed(
        self, indices: NDArray[np.int64], epoch: int | None, step: int, frames: NDArray[Any], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        targets = self.targets[indices]
        if epoch is None or self.augment.mixup_alpha == 0:
            return frames, targets
        rng = np.random.default_rng((*self.seed, epoch, step, _MIXING))
        return mix_clips(frames, valid, targets, self.augment.mixup_alpha, rng)


_CLIP_TYPES = (tf.uint8, tf.bool, tf.bool, tf.float32)


def _numpy_call(work: Callable[..., Any], inputs: tuple[Any, ...], types: tuple[Any, ...]) -> Any:
    # Not stateful: tf.data would otherwise run it on one thread where operations are deterministic.
    return tf.numpy_function(work, inputs, types, stateful=False)


@dataclass(frozen=True, slots=True)
class FeatureSource:
    """Batches of stored features; epochs take turns among the views."""

    views: Sequence[Batch]
    seed: tuple[int, ...]
    sampling: Sampling = "shuffled"

    def batches(self, epoch: int | None, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """The epoch's batches from `first_step` on."""
        view = self.views[(epoch or 0) % len(self.views)]
        order = drawn_order(view.targets, self.seed, epoch, self.sampling)
        for start in range(first_step * batch_size, len(order), batch_size):
            yield view.rows(order[start : start + batch_size])


def feature_view(
    source: PixelSource,
    epoch: int | None,
    features_of: Callable[[NDArray[Any], NDArray[np.bool_]], NDArray[np.float32]],
    path: Path,
    on_clips: Callable[[int], None],
) -> Batch:
    """All clips of one view, each once, as one batch of features, read from `path` or computed and put there."""
    stored = read_arrays(path)
    if stored is not None:
        on_clips(len(stored["targets"]))
        return Batch(*(stored[name] for name in ARRAYS))
    # Shuffled all the same, so that mixing does not stay within a label.
    order = drawn_order(source.targets, source.seed, epoch, "shuffled")
    parts = []
    for batch in source.ordered(order, epoch, _FEATURE_BATCH_SIZE):
        parts.append(replace(batch, inputs=features_of(batch.inputs, batch.valid)))
        on_clips(len(batch.targets))
    back = np.argsort(order)
    whole: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts])[back] for name in ARRAYS}
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, **whole)
    except OSError as error:
        raise TrainingDataError(f"{path}: cannot keep the features: {error.strerror}") from error
    return Batch(**whole)


def num_steps(num_clips: int, batch_size: int) -> int:
    """Steps in an epoch; the last one may be short."""
    return -(-num_clips // batch_size)
