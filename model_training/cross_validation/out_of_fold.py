"""Out-of-fold predictions: each fold is predicted by an exported model that was trained on the other folds."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.atomic_files import read_arrays
from model_training.config import TrainConfig
from model_training.cross_validation.fold_data import FoldData, SharedFeatures
from model_training.cross_validation.folds import fold_config, fold_directory, train_fold
from model_training.datasets.examples import Example
from model_training.datasets.preparation import split_by_config
from model_training.evaluation.exported_model import ExportedModel, VideoPrediction, predict_examples
from model_training.export.saved_model import save_graph
from service.inference.manifest import Manifest

_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class FoldPredictions:
    """Predictions of one exported model for the videos of its held-out fold."""

    seed: int
    fold: int
    examples: Sequence[Example]
    predictions: Sequence[VideoPrediction]


def out_of_fold_predictions(
    config: TrainConfig, data: FoldData, shared: SharedFeatures | None, folds: Sequence[int], seeds: Sequence[int]
) -> list[FoldPredictions]:
    """For each seed and fold, train on the other folds, export, and predict the fold with the SavedModel.

    Predictions of finished folds are read from disk.

    Raises:
        TrainingInterrupted: `data.is_stopping()` returned true; finished folds are kept.
    """
    return [_fold_predictions(fold_config(config, fold, seed), data, shared) for seed in seeds for fold in folds]


def _fold_predictions(config: TrainConfig, data: FoldData, shared: SharedFeatures | None) -> FoldPredictions:
    assert config.held_out_fold is not None
    run_directory = fold_directory(config, data)
    done = run_directory.with_name(f"exported-{run_directory.name}.npz")
    examples = split_by_config(config, data.examples).held_out
    kept = read_arrays(done)
    if kept is None:
        trained = train_fold(config, data, shared)
        with tempfile.TemporaryDirectory(dir=data.directory) as directory:
            save_graph(trained.network, config, trained.temperature, Path(directory))
            manifest = fold_manifest(config, data.labels)
            name = f"seed {config.seed}, fold {config.held_out_fold}"
            with data.display.bar(name, len(examples), "videos") as on_video:
                predictions = predict_examples(ExportedModel(Path(directory)), manifest, examples, lambda: on_video(1))
        partial = run_directory / "answers.npz"
        np.savez(partial, **_arrays(predictions))
        partial.replace(done)
        # A checkpoint stores the backbone twice: only the predictions of a finished fold are kept.
        shutil.rmtree(run_directory)
        kept = _arrays(predictions)
    return FoldPredictions(
        seed=config.seed, fold=config.held_out_fold, examples=examples, predictions=_predictions(kept)
    )


def fold_manifest(config: TrainConfig, labels: Sequence[str]) -> Manifest:
    """The manifest fields that predictions and metrics use; a fold's model has no other fields."""
    # Not validated: the model is deleted after its predictions, and has no golden clips.
    return Manifest.model_construct(
        name=config.name,
        labels=tuple(labels),
        clip=config.clip,
        combine=config.combine,
        head=config.head.kind,
        label_thresholds=None if config.head.sums_to_one else (_THRESHOLD,) * len(labels),
    )


_OF_CLIPS = ("clip_probabilities", "attention", "times_seconds", "valid")
_OF_VIDEO = ("probabilities", "decode_seconds", "model_seconds_per_clip")


def _arrays(predictions: Sequence[VideoPrediction]) -> dict[str, Any]:
    """The predictions as arrays; arrays of clips are concatenated, with `num_clips` for each video."""
    return {
        "num_clips": np.array([len(prediction.valid) for prediction in predictions]),
        **{name: np.concatenate([getattr(prediction, name) for prediction in predictions]) for name in _OF_CLIPS},
        **{name: np.stack([getattr(prediction, name) for prediction in predictions]) for name in _OF_VIDEO},
    }


def _predictions(arrays: Mapping[str, NDArray[Any]]) -> list[VideoPrediction]:
    ends = np.cumsum(arrays["num_clips"])[:-1]
    of_clips = zip(*(np.split(arrays[name], ends) for name in _OF_CLIPS), strict=True)
    of_video = zip(*(arrays[name] for name in _OF_VIDEO), strict=True)
    return [
        VideoPrediction(
            probabilities=probabilities,
            clip_probabilities=clip_probabilities,
            attention=attention,
            times_seconds=times_seconds,
            valid=valid,
            decode_seconds=float(decode_seconds),
            model_seconds_per_clip=float(model_seconds_per_clip),
        )
        for (clip_probabilities, attention, times_seconds, valid), (
            probabilities,
            decode_seconds,
            model_seconds_per_clip,
        ) in zip(of_clips, of_video, strict=True)
    ]
