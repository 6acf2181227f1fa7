"""Folds answered by the models that come of them, exported, and asked as the service asks them."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.atomic_files import read_arrays
from model_training.config import TrainConfig
from model_training.cross_validation.folds import FoldData, SharedFeatures, fold_config, fold_directory, train_fold
from model_training.datasets.examples import Example
from model_training.datasets.preparation import split_by_config
from model_training.evaluation.bootstrap import mean_interval
from model_training.evaluation.exported_model import ExportedModel, VideoPrediction, predict_examples
from model_training.evaluation.measure import compute_metrics
from model_training.evaluation.results import CrossValidation, Metrics, Pointing
from model_training.export.saved_model import save_graph
from service.inference.manifest import Manifest

_EVEN = 0.5


@dataclass(frozen=True, slots=True)
class FoldPredictions:
    """What the exported model of one run answers for the videos of the fold that it never saw."""

    seed: int
    fold: int
    examples: Sequence[Example]
    predictions: Sequence[VideoPrediction]


def out_of_fold_predictions(
    config: TrainConfig, data: FoldData, shared: SharedFeatures | None, folds: Sequence[int], seeds: Sequence[int]
) -> list[FoldPredictions]:
    """For each seed and fold, train on the other folds, export, and ask the SavedModel about the fold's videos.

    The answers of a fold that was done before are read back.

    Raises:
        TrainingInterrupted: `data.is_stopping()` turned true; what was done is kept.
    """
    return [_fold_predictions(fold_config(config, fold, seed), data, shared) for seed in seeds for fold in folds]


def cross_validation_metrics(
    config: TrainConfig, labels: Sequence[str], answered: Sequence[FoldPredictions], command: str
) -> CrossValidation:
    """What the answers of all folds and seeds say together."""
    seeds = tuple(dict.fromkeys(one.seed for one in answered))
    manifest = _manifest_of(config, labels)
    by_seed = [_measured([one for one in answered if one.seed == seed], manifest) for seed in seeds]
    by_run = [_measured([one], manifest).accuracy for one in answered]
    first = [example for one in answered if one.seed == seeds[0] for example in one.examples]
    right = np.mean([_rights([one for one in answered if one.seed == seed], manifest) for seed in seeds], axis=0)
    pointing = [figures.attention for figures in by_seed if figures.attention is not None]
    costs = [p.model_seconds_per_clip for one in answered for p in one.predictions]
    return CrossValidation(
        folds=tuple(dict.fromkeys(one.fold for one in answered)),
        seeds=seeds,
        num_videos=len(first),
        num_groups=len({example.group for example in first}),
        # Not the mean over seeds: each of those is rounded already.
        accuracy=round(float(right.mean()), 4),
        accuracy_deviation=_deviation(by_seed, lambda figures: figures.accuracy),
        accuracy_interval=mean_interval(right.tolist(), [example.group for example in first]),
        accuracy_deviation_over_folds=round(float(np.std(by_run, ddof=1)), 4) if len(by_run) > 1 else 0.0,
        macro_f1=_mean(by_seed, lambda figures: figures.macro.f1),
        macro_f1_deviation=_deviation(by_seed, lambda figures: figures.macro.f1),
        expected_calibration_error=_mean(by_seed, lambda figures: figures.expected_calibration_error),
        expected_calibration_error_deviation=_deviation(by_seed, lambda figures: figures.expected_calibration_error),
        attention=None if not pointing else _mean_pointing(pointing),
        model_milliseconds_per_clip=round(float(np.median(costs)) * 1000, 1),
        command=command,
    )


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
            manifest = _manifest_of(config, data.labels)
            name = f"seed {config.seed}, fold {config.held_out_fold}"
            with data.display.bar(name, len(examples), "videos") as on_video:
                predictions = predict_examples(ExportedModel(Path(directory)), manifest, examples, lambda: on_video(1))
        partial = run_directory / "answers.npz"
        np.savez(partial, **_arrays(predictions))
        partial.replace(done)
        # A checkpoint holds the backbone twice: of a fold that is done only the answers are kept.
        shutil.rmtree(run_directory)
        kept = _arrays(predictions)
    return FoldPredictions(config.seed, config.held_out_fold, examples, _predictions(kept))


def _manifest_of(config: TrainConfig, labels: Sequence[str]) -> Manifest:
    """What asking and measuring need to know of a model: labels, clip, head and combination; no threshold."""
    # Not validated: a fold's model is thrown away when it has answered, and has no golden clips.
    return Manifest.model_construct(
        name=config.name,
        labels=tuple(labels),
        clip=config.clip,
        combine=config.combine,
        head=config.head.kind,
        label_thresholds=None if config.head.sums_to_one else (_EVEN,) * len(labels),
    )


def _measured(answered: Sequence[FoldPredictions], manifest: Manifest) -> Metrics:
    predictions = [prediction for one in answered for prediction in one.predictions]
    return compute_metrics(predictions, [example for one in answered for example in one.examples], manifest)


def _rights(answered: Sequence[FoldPredictions], manifest: Manifest) -> NDArray[np.float64]:
    """1 for each video that is answered right, float64 [videos]."""
    return np.array(
        [
            compute_metrics([prediction], [example], manifest).accuracy
            for one in answered
            for prediction, example in zip(one.predictions, one.examples, strict=True)
        ]
    )


def _mean(figures: Sequence[Metrics], figure: Callable[[Metrics], float]) -> float:
    return round(float(np.mean([figure(one) for one in figures])), 4)


def _deviation(figures: Sequence[Metrics], figure: Callable[[Metrics], float]) -> float:
    return round(float(np.std([figure(one) for one in figures], ddof=1)), 4) if len(figures) > 1 else 0.0


def _mean_pointing(pointing: Sequence[Pointing]) -> Pointing:
    hit_rate, mass, chance = (
        np.mean([(one.pointing_game_hit_rate, one.mass_inside_event, one.chance_mass) for one in pointing], axis=0)
        .round(4)
        .tolist()
    )
    return Pointing(
        pointing_game_hit_rate=hit_rate, mass_inside_event=mass, chance_mass=chance, num_clips=pointing[0].num_clips
    )


_OF_CLIPS = ("clip_probabilities", "attention", "times_seconds", "valid")
_OF_VIDEO = ("probabilities", "decode_seconds", "model_seconds_per_clip")


def _arrays(predictions: Sequence[VideoPrediction]) -> dict[str, Any]:
    """All of the predictions as arrays: those of clips one after another, `num_clips` of each video."""
    return {
        "num_clips": np.array([len(one.valid) for one in predictions]),
        **{name: np.concatenate([getattr(one, name) for one in predictions]) for name in _OF_CLIPS},
        **{name: np.stack([getattr(one, name) for one in predictions]) for name in _OF_VIDEO},
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
