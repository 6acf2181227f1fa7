"""Cross-validates the three architectures under one protocol and recommends one."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from model_training.config import Architecture, TrainConfig
from model_training.cross_validation.correctness import is_correct
from model_training.cross_validation.fold_data import FoldData, shared_features
from model_training.cross_validation.folds import HeldOutPrediction, held_out_predictions
from model_training.evaluation.baselines import Baselines
from model_training.evaluation.bootstrap import mean_interval
from model_training.evaluation.exported_model import ExportedModel
from model_training.evaluation.metrics import round_metric
from model_training.evaluation.results import Interval, Result
from model_training.export.saved_model import save_graph
from model_training.networks.network import build_network

_NUM_TIMED_CALLS = 5


class ArchitectureMetrics(Result):
    """Metrics of one architecture, as means over seeds; 95 % intervals of a bootstrap over groups."""

    architecture: Architecture
    accuracy: float
    accuracy_interval: Interval | None = None
    accuracy_by_seed: tuple[float, ...]
    accuracy_deviation: float
    """Standard deviation over seeds."""
    shuffled_accuracy: float
    """Accuracy of the same networks on videos whose frames are shuffled in time."""
    shuffling_costs: float
    """Accuracy minus `shuffled_accuracy`."""
    shuffling_costs_interval: Interval | None = None
    milliseconds_per_clip: float
    """Median time of a call of the exported model with one clip, on this machine."""
    num_parameters: int


class Difference(Result):
    """The accuracy of one architecture minus that of another, on the same videos."""

    architecture: Architecture
    than: Architecture
    accuracy_difference: float
    interval: Interval | None = None


class Comparison(Result):
    """The result of `compare`. `advice` is one sentence."""

    config: str
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    num_videos: int
    num_groups: int
    architectures: tuple[ArchitectureMetrics, ...]
    differences: tuple[Difference, ...]
    advice: str
    num_leaks: int = 0
    """Allowed leaks between a held-out fold and the other folds."""
    baselines: Baselines | None = None
    """On the same videos, each fold predicted from the others."""


def compare_architectures(
    config: TrainConfig,
    data: FoldData,
    folds: Sequence[int],
    seeds: Sequence[int],
    *,
    num_leaks: int = 0,
    baselines: Baselines | None = None,
) -> Comparison:
    """Train each architecture on the same folds with the same seeds.

    Raises:
        TrainingInterrupted: `data.is_stopping()` returned true; finished folds are kept.
    """
    shared = shared_features(config, data, with_shuffled=True)
    correct: dict[Architecture, NDArray[np.float64]] = {}
    metrics: list[ArchitectureMetrics] = []
    groups: list[str] = []
    for architecture in get_args(Architecture):
        own = config.model_copy(update={"architecture": architecture})
        data.display.log(f"{architecture}: {len(folds)} folds, {len(seeds)} seeds")
        predictions = held_out_predictions(own, data, shared, folds, seeds)
        groups = [prediction.example.group for prediction in predictions[: len(predictions) // len(seeds)]]
        by_seed = correct_by_seed(own, data, predictions, len(seeds))
        shuffled = correct_by_seed(own, data, predictions, len(seeds), is_shuffled=True)
        correct[architecture] = by_seed.mean(axis=0)
        metrics.append(_architecture_metrics(own, len(data.labels), by_seed, shuffled, groups))
    differences = accuracy_differences(correct, groups)
    return Comparison(
        config=config.name,
        folds=tuple(folds),
        seeds=tuple(seeds),
        num_videos=len(groups),
        num_groups=len(set(groups)),
        architectures=tuple(metrics),
        differences=differences,
        advice=advise(metrics, differences),
        num_leaks=num_leaks,
        baselines=baselines,
    )


def _architecture_metrics(
    config: TrainConfig,
    num_labels: int,
    correct: NDArray[np.float64],
    shuffled: NDArray[np.float64],
    groups: Sequence[str],
) -> ArchitectureMetrics:
    milliseconds, num_parameters = measure_clip_cost(config, num_labels)
    num_seeds = len(correct)
    lost = correct.mean(axis=0) - shuffled.mean(axis=0)
    return ArchitectureMetrics(
        architecture=config.architecture,
        accuracy=round_metric(correct.mean()),
        accuracy_interval=mean_interval(correct.mean(axis=0).tolist(), groups),
        accuracy_by_seed=tuple(round_metric(row.mean()) for row in correct),
        accuracy_deviation=round_metric(correct.mean(axis=1).std(ddof=1)) if num_seeds > 1 else 0.0,
        shuffled_accuracy=round_metric(shuffled.mean()),
        shuffling_costs=round_metric(lost.mean()),
        shuffling_costs_interval=mean_interval(lost.tolist(), groups),
        milliseconds_per_clip=milliseconds,
        num_parameters=num_parameters,
    )


def correct_by_seed(
    config: TrainConfig,
    data: FoldData,
    predictions: Sequence[HeldOutPrediction],
    num_seeds: int,
    *,
    is_shuffled: bool = False,
) -> NDArray[np.float64]:
    """1 for each correct prediction, float64 [seeds, videos]; videos are in the same order for each seed."""
    correct = [
        is_correct(
            prediction.shuffled_probabilities if is_shuffled else prediction.probabilities,
            prediction.example.labels,
            data.labels,
            sums_to_one=config.head.sums_to_one,
        )
        for prediction in predictions
    ]
    return np.array(correct, np.float64).reshape(num_seeds, -1)


def accuracy_differences(
    correct: Mapping[Architecture, NDArray[np.float64]], groups: Sequence[str]
) -> tuple[Difference, ...]:
    """Compare each architecture with each simpler one; `correct` float64 [videos], simplest architecture first."""
    architectures = list(correct)
    return tuple(
        Difference(
            architecture=architecture,
            than=simpler,
            accuracy_difference=round_metric((correct[architecture] - correct[simpler]).mean()),
            interval=mean_interval((correct[architecture] - correct[simpler]).tolist(), groups),
        )
        for index, architecture in enumerate(architectures)
        for simpler in architectures[:index]
    )


def advise(metrics: Sequence[ArchitectureMetrics], differences: Sequence[Difference]) -> str:
    """Recommend, in one sentence, the simplest architecture that no other significantly exceeds in accuracy.

    Significant means that the 95 % interval of the difference lies above 0.
    """
    chosen = metrics[0]
    for other in metrics[1:]:
        gain = next(d for d in differences if d.architecture == other.architecture and d.than == chosen.architecture)
        if gain.interval is not None and gain.interval.low > 0:
            chosen = other
    costs = chosen.shuffling_costs_interval
    is_order_used = costs is not None and costs.low > 0
    order = "the order of frames matters" if is_order_used else "the order of frames does not matter significantly"
    reason = (
        "no architecture with a longer view over time is significantly better"
        if chosen is metrics[0]
        else "it is significantly better than the simpler ones"
    )
    return (
        f"Use {chosen.architecture} (accuracy {chosen.accuracy:.3f}, {chosen.milliseconds_per_clip:.1f} ms a clip):"
        f" {reason}, and {order}: shuffling the frames costs {chosen.shuffling_costs:.3f} of accuracy."
    )


def measure_clip_cost(config: TrainConfig, num_labels: int) -> tuple[float, int]:
    """Median milliseconds of a call of the exported model with one clip, and its number of parameters."""
    network = build_network(config, num_labels, is_pretrained=False)
    spec = config.clip
    frames = np.zeros((1, spec.num_frames, spec.height, spec.width, 3), np.uint8)
    valid = np.ones((1, spec.num_frames), bool)
    with tempfile.TemporaryDirectory() as directory:
        save_graph(network, config, 1.0, Path(directory))
        model = ExportedModel(Path(directory))
        model.predict_clips(frames, valid)
        seconds = []
        for _ in range(_NUM_TIMED_CALLS):
            started_at = time.perf_counter()
            model.predict_clips(frames, valid)
            seconds.append(time.perf_counter() - started_at)
    num_parameters = sum(int(np.prod(variable.shape)) for variable in network.variables)
    return round(float(np.median(seconds)) * 1000, 3), num_parameters
