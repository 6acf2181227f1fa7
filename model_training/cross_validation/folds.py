"""Cross-validation in memory: trains on all folds but one and predicts the held-out fold, for several seeds.

Features of a frozen backbone are computed once and shared by folds, seeds and architectures.
"""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.atomic_files import read_arrays
from model_training.config import TrainConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.examples import Example
from model_training.datasets.labels import clip_targets
from model_training.datasets.preparation import split_by_config
from model_training.datasets.splits import Split
from model_training.evaluation.calibration import fit_temperature
from model_training.input_pipeline.batch import Batch
from model_training.input_pipeline.feature_dataset import feature_view
from model_training.input_pipeline.pixel_dataset import PixelDataset
from model_training.networks.network import Network, build_network, probabilities_of
from model_training.progress import RunProgress
from model_training.training.loop import train_network
from model_training.training.plan import PrecomputedFeatures, TrainingPlan
from model_training.training.prediction import clip_logits
from model_training.training.stage_datasets import frozen_part
from service.inference.manifest import combine_clips


class ShuffledClip(CachedClip):
    """A clip with its valid frames in a fixed random order: it keeps the content and loses the order."""

    def frames(self) -> NDArray[np.uint8]:
        """The pixels uint8 [T, H, W, 3], with the valid frames shuffled."""
        frames, positions = CachedClip.frames(self), np.flatnonzero(self.valid)
        seed = int(hashlib.sha256(f"{self.cache_file.name} {self.index}".encode()).hexdigest()[:8], 16)
        shuffled = frames.copy()
        shuffled[positions] = frames[np.random.default_rng(seed).permutation(positions)]
        return shuffled


@dataclass(frozen=True, slots=True)
class FoldData:
    """The videos of all folds; runs and features are stored in `directory`."""

    examples: Sequence[Example]
    labels: tuple[str, ...]
    clips: Sequence[CachedClip]
    directory: Path
    display: RunProgress
    is_stopping: Callable[[], bool]

    def indices_of(self, examples: Sequence[Example]) -> NDArray[np.int64]:
        """Indices of the clips of these examples."""
        wanted = set(examples)
        return np.array([index for index, clip in enumerate(self.clips) if clip.example in wanted], np.int64)


@dataclass(frozen=True, slots=True)
class SharedFeatures:
    """Stored features of all clips: augmented views, unaugmented clips and, if requested, shuffled clips."""

    views: Sequence[Batch]
    unaugmented: Batch
    shuffled: Batch | None = None


@dataclass(frozen=True, slots=True)
class HeldOutPrediction:
    """A network's prediction for a video of its held-out fold: probabilities float64 [K], unchanged and shuffled."""

    example: Example
    seed: int
    probabilities: NDArray[np.float64]
    shuffled_probabilities: NDArray[np.float64]


def shared_features(config: TrainConfig, data: FoldData, *, with_shuffled: bool) -> SharedFeatures | None:
    """Features of the parts that the first stage does not train; None if folds cannot share them.

    Folds cannot share them if the first stage trains the whole backbone, if the backbone is initialised randomly,
    or with mixup.
    """
    stage = config.stages[0]
    differs_by_run = config.backbone == "tiny" or config.augment.mixup_alpha > 0
    if stage.num_blocks_above_stored is None or differs_by_run:
        return None
    folder = data.directory / f"features-{_features_key(config, data)}"
    network = build_network(config, len(data.labels), is_pretrained=True)
    features_of = frozen_part(network, config, stage, data.is_stopping)
    targets, seed = clip_targets(data.clips, data.labels, config.head.kind), (config.seed, 0)
    dataset = PixelDataset(data.clips, targets, config.augment, seed)
    shuffled = PixelDataset([_shuffled(clip) for clip in data.clips], targets, config.augment, seed)
    num_views = stage.num_feature_views
    num_passes = num_views + (2 if with_shuffled else 1)
    with data.display.bar("frozen backbone", num_passes * len(data.clips), "clips") as on_clips:
        return SharedFeatures(
            views=[
                feature_view(dataset, view, features_of, folder / f"view-{view:03d}.npz", on_clips)
                for view in range(num_views)
            ],
            unaugmented=feature_view(dataset, None, features_of, folder / "still.npz", on_clips),
            shuffled=feature_view(shuffled, None, features_of, folder / "shuffled.npz", on_clips)
            if with_shuffled
            else None,
        )


def held_out_predictions(
    config: TrainConfig, data: FoldData, shared: SharedFeatures | None, folds: Sequence[int], seeds: Sequence[int]
) -> list[HeldOutPrediction]:
    """One prediction per seed for each video of these folds, by a network trained on the other folds.

    The validation videos for early stopping and temperature belong to the training folds, and are the same for
    all configs with the same seed. Predictions of finished folds are read from disk.

    Raises:
        TrainingInterrupted: `data.is_stopping()` returned true; finished folds are kept.
    """
    predictions = []
    for seed in seeds:
        for fold in folds:
            predictions += _fold_predictions(fold_config(config, fold, seed), data, shared)
    return predictions


@dataclass(frozen=True, slots=True)
class TrainedFold:
    """A network trained on all folds but one; `temperature` is fitted on the validation part of `split`."""

    split: Split
    network: Network
    temperature: float


def fold_config(config: TrainConfig, fold: int, seed: int) -> TrainConfig:
    """The config of the run that holds out `fold`."""
    return config.model_copy(update={"seed": seed, "held_out_fold": fold})


def fold_directory(config: TrainConfig, data: FoldData) -> Path:
    """The checkpoint directory of a `fold_config`; its name contains a digest of config, clips and folds."""
    return (
        data.directory
        / f"{config.architecture}-seed-{config.seed}-fold-{config.held_out_fold}-{_run_key(config, data)}"
    )


def train_fold(config: TrainConfig, data: FoldData, shared: SharedFeatures | None) -> TrainedFold:
    """Train on all folds but the one that a `fold_config` holds out.

    Raises:
        TrainingInterrupted: `data.is_stopping()` returned true; the checkpoint is saved.
    """
    split = split_by_config(config, data.examples)
    training, validation = (data.indices_of(part) for part in (split.training, split.validation))
    precomputed = None
    if shared is not None:
        precomputed = PrecomputedFeatures(
            views=[view.select(training) for view in shared.views], validation=shared.unaugmented.select(validation)
        )
    directory = fold_directory(config, data)
    directory.mkdir(parents=True, exist_ok=True)
    network, _ = train_network(
        TrainingPlan(
            config=config,
            labels=data.labels,
            training=[data.clips[index] for index in training],
            validation=[data.clips[index] for index in validation],
            run_directory=directory,
            display=data.display,
            is_stopping=data.is_stopping,
            precomputed=precomputed,
        )
    )
    targets = clip_targets([data.clips[index] for index in validation], data.labels, config.head.kind)
    logits = _logits(network, data, validation, _valid_features(config, shared))
    return TrainedFold(split, network, fit_temperature(logits, targets, config.head.kind))


def _valid_features(config: TrainConfig, shared: SharedFeatures | None) -> SharedFeatures | None:
    """The shared features if the trained network computes the same ones; otherwise None."""
    return shared if all(stage.backbone == "frozen" for stage in config.stages) else None


def _fold_predictions(config: TrainConfig, data: FoldData, shared: SharedFeatures | None) -> list[HeldOutPrediction]:
    directory = fold_directory(config, data)
    done = directory.with_suffix(".npz")
    kept = read_arrays(done)
    if kept is not None:
        return _held_out(config, split_by_config(config, data.examples).held_out, kept["plain"], kept["shuffled"])
    trained = train_fold(config, data, shared)
    features, kind, examples = _valid_features(config, shared), config.head.kind, trained.split.held_out
    held_out = data.indices_of(examples)
    plain, shuffled = (
        np.asarray(
            probabilities_of(
                _logits(trained.network, data, held_out, features, is_shuffled=flag) / trained.temperature, kind
            )
        )
        for flag in (False, True)
    )
    sums_to_one = config.head.sums_to_one
    of_video = [[data.clips[index].example == example for index in held_out] for example in examples]
    videos, mixed = (
        np.stack([combine_clips(rows[own], config.combine, sums_to_one=sums_to_one) for own in np.array(of_video)])
        for rows in (plain, shuffled)
    )
    partial = directory / "answers.npz"
    np.savez(partial, plain=videos, shuffled=mixed)
    partial.replace(done)
    # A checkpoint stores the backbone twice: only the predictions of a finished fold are kept.
    shutil.rmtree(directory)
    return _held_out(config, examples, videos, mixed)


def _held_out(
    config: TrainConfig, examples: Sequence[Example], plain: NDArray[np.float64], shuffled: NDArray[np.float64]
) -> list[HeldOutPrediction]:
    rows = zip(examples, plain, shuffled, strict=True)
    return [HeldOutPrediction(example, config.seed, video, mixed) for example, video, mixed in rows]


def _logits(
    network: Network,
    data: FoldData,
    indices: NDArray[np.int64],
    features: SharedFeatures | None,
    *,
    is_shuffled: bool = False,
) -> NDArray[np.float32]:
    if features is None:
        clips = [data.clips[index] for index in indices]
        return clip_logits(network, [_shuffled(clip) for clip in clips] if is_shuffled else clips)
    batch = features.shuffled if is_shuffled else features.unaugmented
    assert batch is not None
    rows = batch.select(indices)
    return np.asarray(network.head([rows.inputs, rows.valid])[0], np.float32)


def _shuffled(clip: CachedClip) -> ShuffledClip:
    return ShuffledClip(clip.example, clip.cache_file, clip.index, clip.valid, clip.times_seconds)


def _features_key(config: TrainConfig, data: FoldData) -> str:
    """A digest of everything that affects the features; the architecture and the head's widths do not."""
    seen: dict[str, Any] = config.model_dump(
        mode="json", include={"backbone", "clip", "input", "augment", "seed", "precision", "teacher", "motion_crop"}
    )
    seen["num_blocks_above"] = config.stages[0].num_blocks_above_stored
    seen |= {"sees": (config.head.sees_appearance, config.head.sees_motion), "kind": config.head.kind}
    return _digest(str(seen), *data.labels, *map(_annotation_key, data.clips))


def _run_key(config: TrainConfig, data: FoldData) -> str:
    """A digest of everything that affects the predictions: config, clips, annotations and folds."""
    clips = [f"{_annotation_key(clip)} {clip.example.group} {clip.example.fold}" for clip in data.clips]
    return _digest(config.recipe, *data.labels, *clips)


def _annotation_key(clip: CachedClip) -> str:
    """Identifies a clip's pixels, labels and event times."""
    return f"{clip.cache_file.name} {clip.index} {clip.example.labels} {clip.example.event_seconds}"


def _digest(*lines: str) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
