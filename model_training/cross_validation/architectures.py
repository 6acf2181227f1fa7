"""Which of the three families to use: one protocol for all, and what can be told from its answers."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from model_training.config import Architecture, TrainConfig
from model_training.cross_validation.folds import (
    FoldData,
    HeldOutPrediction,
    held_out_predictions,
    is_right,
    shared_features,
)
from model_training.evaluation.baselines import Baselines
from model_training.evaluation.bootstrap import mean_interval
from model_training.evaluation.exported_model import ExportedModel
from model_training.evaluation.results import Interval, Result
from model_training.export.saved_model import save_graph
from model_training.networks.network import build_network

_NUM_TIMED_CALLS = 5


class ArchitectureMetrics(Result):
    """One family. Intervals are of 95 %, whole groups drawn; accuracy is a mean over seeds."""

    architecture: Architecture
    accuracy: float
    accuracy_interval: Interval | None = None
    accuracy_by_seed: tuple[float, ...]
    accuracy_deviation: float
    """Standard deviation over seeds."""
    shuffled_accuracy: float
    """Of the same networks, when the frames of the videos they are shown are shuffled in time."""
    shuffling_costs: float
    shuffling_costs_interval: Interval | None = None
    milliseconds_per_clip: float
    """Median of calls of the exported model with one clip, on this machine."""
    num_parameters: int


class Difference(Result):
    """How much more often one family is right than another on the same videos."""

    architecture: Architecture
    than: Architecture
    accuracy_difference: float
    interval: Interval | None = None


class Comparison(Result):
    """What `compare` prints. `advice` is one sentence."""

    config: str
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    num_videos: int
    num_groups: int
    architectures: tuple[ArchitectureMetrics, ...]
    differences: tuple[Difference, ...]
    advice: str
    num_leaks: int = 0
    """Between a fold and the rest, all of them allowed."""
    baselines: Baselines | None = None
    """On the same videos, each fold taught on the others."""


def compare_architectures(
    config: TrainConfig, data: FoldData, folds: Sequence[int], seeds: Sequence[int]
) -> Comparison:
    """Train every family on the same folds with the same seeds, and say which to use.

    Raises:
        TrainingInterrupted: `data.is_stopping()` turned true; the folds done are kept.
    """
    shared = shared_features(config, data, with_shuffled=True)
    rights: dict[Architecture, NDArray[np.float64]] = {}
    figures: list[ArchitectureMetrics] = []
    groups: list[str] = []
    for architecture in get_args(Architecture):
        own = config.model_copy(update={"architecture": architecture})
        data.display.log(f"{architecture}: {len(folds)} folds, {len(seeds)} seeds")
        answers = held_out_predictions(own, data, shared, folds, seeds)
        groups = [answer.example.group for answer in answers[: len(answers) // len(seeds)]]
        right = correct_by_seed(own, data, answers, len(seeds))
        shuffled = correct_by_seed(own, data, answers, len(seeds), is_shuffled=True)
        rights[architecture] = right.mean(axis=0)
        milliseconds, num_parameters = measure_clip_cost(own, len(data.labels))
        lost = rights[architecture] - shuffled.mean(axis=0)
        figures.append(
            ArchitectureMetrics(
                architecture=architecture,
                accuracy=_rounded(right.mean()),
                accuracy_interval=mean_interval(rights[architecture].tolist(), groups),
                accuracy_by_seed=tuple(_rounded(row.mean()) for row in right),
                accuracy_deviation=_rounded(right.mean(axis=1).std(ddof=1)) if len(seeds) > 1 else 0.0,
                shuffled_accuracy=_rounded(shuffled.mean()),
                shuffling_costs=_rounded(lost.mean()),
                shuffling_costs_interval=mean_interval(lost.tolist(), groups),
                milliseconds_per_clip=milliseconds,
                num_parameters=num_parameters,
            )
        )
    differences = accuracy_differences(rights, groups)
    return Comparison(
        config=config.name,
        folds=tuple(folds),
        seeds=tuple(seeds),
        num_videos=len(groups),
        num_groups=len(set(groups)),
        architectures=tuple(figures),
        differences=differences,
        advice=advise(figures, differences),
    )


def correct_by_seed(
    config: TrainConfig,
    data: FoldData,
    answers: Sequence[HeldOutPrediction],
    num_seeds: int,
    *,
    is_shuffled: bool = False,
) -> NDArray[np.float64]:
    """1 where an answer is right, float64 [seeds, videos]; the videos come in the same order for each seed."""
    right = [
        is_right(
            answer.shuffled_probabilities if is_shuffled else answer.probabilities,
            answer.example.labels,
            data.labels,
            sums_to_one=config.head.sums_to_one,
        )
        for answer in answers
    ]
    return np.array(right, np.float64).reshape(num_seeds, -1)


def accuracy_differences(
    rights: dict[Architecture, NDArray[np.float64]], groups: Sequence[str]
) -> tuple[Difference, ...]:
    """Each family against each simpler one, on the same videos; `rights` float64 [videos] by family."""
    architectures = list(rights)
    return tuple(
        Difference(
            architecture=architecture,
            than=simpler,
            accuracy_difference=_rounded((rights[architecture] - rights[simpler]).mean()),
            interval=mean_interval((rights[architecture] - rights[simpler]).tolist(), groups),
        )
        for place, architecture in enumerate(architectures)
        for simpler in architectures[:place]
    )


def advise(figures: Sequence[ArchitectureMetrics], differences: Sequence[Difference]) -> str:
    """One sentence: the simplest family that no other surely beats, and whether order matters to it."""
    chosen = figures[0]
    for other in figures[1:]:
        gain = next(d for d in differences if d.architecture == other.architecture and d.than == chosen.architecture)
        if gain.interval is not None and gain.interval.low > 0:
            chosen = other
    costs = chosen.shuffling_costs_interval
    if costs is not None and costs.low > 0:
        order = f"order matters to it: shuffling the frames costs {chosen.shuffling_costs:.3f} of accuracy"
    else:
        order = f"order cannot be told to matter to it: shuffling the frames costs {chosen.shuffling_costs:.3f}"
    which = (
        "no network that looks further over time is surely better"
        if chosen is figures[0]
        else "it is surely better than the simpler ones it replaces"
    )
    return (
        f"Use {chosen.architecture} (accuracy {chosen.accuracy:.3f}, {chosen.milliseconds_per_clip:.1f} ms a clip):"
        f" {which}, and {order}."
    )


def measure_clip_cost(config: TrainConfig, num_labels: int) -> tuple[float, int]:
    """Milliseconds of a call of the exported model with one clip, the median of some, and how many numbers it has."""
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


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 4)
