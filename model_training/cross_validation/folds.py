"""Cross-validation in memory: trains on all folds but one and predicts the held-out fold, for several seeds.

Features of a frozen backbone are computed once and shared by folds, seeds and architectures.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_training.atomic_files import read_arrays
from model_training.config import TrainConfig
from model_training.cross_validation.fold_data import (
    FoldData,
    SharedFeatures,
    annotation_key,
    short_digest,
    shuffled_clip,
)
from model_training.datasets.examples import Example
from model_training.datasets.labels import clip_targets
from model_training.datasets.preparation import split_by_config
from model_training.datasets.splits import Split
from model_training.evaluation.calibration import fit_temperature
from model_training.networks.network import Network, probabilities_of
from model_training.training.loop import train_network
from model_training.training.plan import PrecomputedFeatures, TrainingPlan
from model_training.training.prediction import clip_logits
from service.inference.manifest import combine_clips


@dataclass(frozen=True, slots=True)
class HeldOutPrediction:
    """A network's prediction for a video of its held-out fold: probabilities float64 [K], unchanged and shuffled."""

    example: Example
    seed: int
    probabilities: NDArray[np.float64]
    shuffled_probabilities: NDArray[np.float64]


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
        return clip_logits(network, [shuffled_clip(clip) for clip in clips] if is_shuffled else clips)
    batch = features.shuffled if is_shuffled else features.unaugmented
    assert batch is not None
    rows = batch.select(indices)
    return np.asarray(network.head([rows.inputs, rows.valid])[0], np.float32)


def _run_key(config: TrainConfig, data: FoldData) -> str:
    """A digest of everything that affects the predictions: config, clips, annotations and folds."""
    clips = [f"{annotation_key(clip)} {clip.example.group} {clip.example.fold}" for clip in data.clips]
    return short_digest(config.recipe, *data.labels, *clips)
