"""Metrics of a cross-validation, from the out-of-fold predictions of all folds and seeds."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model_training.config import TrainConfig
from model_training.cross_validation.out_of_fold import FoldPredictions, fold_manifest
from model_training.evaluation.baselines import Baselines
from model_training.evaluation.bootstrap import mean_interval
from model_training.evaluation.measure import compute_metrics
from model_training.evaluation.metrics import round_metric
from model_training.evaluation.results import CrossValidation, Metrics, Pointing
from service.inference.manifest import Manifest


def cross_validation_metrics(
    config: TrainConfig,
    labels: Sequence[str],
    folds: Sequence[FoldPredictions],
    command: str,
    *,
    num_leaks: int = 0,
    baselines: Baselines | None = None,
) -> CrossValidation:
    """Means and standard deviations over seeds; the predictions of a seed's folds are pooled."""
    seeds = tuple(dict.fromkeys(fold.seed for fold in folds))
    manifest = fold_manifest(config, labels)
    folds_by_seed = [[fold for fold in folds if fold.seed == seed] for seed in seeds]
    by_seed = [_pooled_metrics(of_seed, manifest) for of_seed in folds_by_seed]
    by_run = [_pooled_metrics([fold], manifest).accuracy for fold in folds]
    examples = [example for fold in folds_by_seed[0] for example in fold.examples]
    correct = np.mean([_correct(of_seed, manifest) for of_seed in folds_by_seed], axis=0)
    pointing = [metrics.attention for metrics in by_seed if metrics.attention is not None]
    seconds = [prediction.model_seconds_per_clip for fold in folds for prediction in fold.predictions]
    return CrossValidation(
        folds=tuple(dict.fromkeys(fold.fold for fold in folds)),
        seeds=seeds,
        num_videos=len(examples),
        num_groups=len({example.group for example in examples}),
        # Not the mean of the seeds' accuracies: those are rounded already.
        accuracy=round_metric(correct.mean()),
        accuracy_deviation=_standard_deviation(by_seed, lambda metrics: metrics.accuracy),
        accuracy_interval=mean_interval(correct.tolist(), [example.group for example in examples]),
        accuracy_deviation_over_folds=round_metric(np.std(by_run, ddof=1)) if len(by_run) > 1 else 0.0,
        macro_f1=_mean(by_seed, lambda metrics: metrics.macro.f1),
        macro_f1_deviation=_standard_deviation(by_seed, lambda metrics: metrics.macro.f1),
        expected_calibration_error=_mean(by_seed, lambda metrics: metrics.expected_calibration_error),
        expected_calibration_error_deviation=_standard_deviation(
            by_seed, lambda metrics: metrics.expected_calibration_error
        ),
        attention=_mean_pointing(pointing) if pointing else None,
        model_milliseconds_per_clip=round(float(np.median(seconds)) * 1000, 1),
        command=command,
        num_leaks=num_leaks,
        baselines=baselines,
    )


def _pooled_metrics(folds: Sequence[FoldPredictions], manifest: Manifest) -> Metrics:
    predictions = [prediction for fold in folds for prediction in fold.predictions]
    return compute_metrics(predictions, [example for fold in folds for example in fold.examples], manifest)


def _correct(folds: Sequence[FoldPredictions], manifest: Manifest) -> NDArray[np.float64]:
    """1 for each correctly predicted video, float64 [videos]."""
    return np.array(
        [
            compute_metrics([prediction], [example], manifest).accuracy
            for fold in folds
            for prediction, example in zip(fold.predictions, fold.examples, strict=True)
        ]
    )


def _mean(metrics: Sequence[Metrics], metric_of: Callable[[Metrics], float]) -> float:
    return round_metric(np.mean([metric_of(of_seed) for of_seed in metrics]))


def _standard_deviation(metrics: Sequence[Metrics], metric_of: Callable[[Metrics], float]) -> float:
    return round_metric(np.std([metric_of(of_seed) for of_seed in metrics], ddof=1)) if len(metrics) > 1 else 0.0


def _mean_pointing(pointing: Sequence[Pointing]) -> Pointing:
    return Pointing(
        pointing_game_hit_rate=round_metric(np.mean([one.pointing_game_hit_rate for one in pointing])),
        mass_inside_event=round_metric(np.mean([one.mass_inside_event for one in pointing])),
        chance_mass=round_metric(np.mean([one.chance_mass for one in pointing])),
        num_clips=pointing[0].num_clips,
    )
