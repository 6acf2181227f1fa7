"""The cross-validation protocol that `compare` and `cross-validate` share: config, videos, folds and seeds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from model_training.config import Architecture, BackboneName, TrainConfig
from model_training.config_file import read_config, validate_config
from model_training.datasets.clip_cache import DecodedVideo
from model_training.datasets.examples import Example, labels_of, read_examples
from model_training.datasets.preparation import check_videos
from model_training.datasets.splits import split_examples
from model_training.errors import InvalidConfig, TrainingDataError
from model_training.evaluation.baselines import Baselines, baselines_over_folds
from model_training.evaluation.results import CrossValidation, Interval
from model_training.export.card import leak_warning
from model_training.interrupt import interrupt_flag
from model_training.progress import RunProgress

if TYPE_CHECKING:
    from model_training.cross_validation.architectures import Comparison
    from model_training.cross_validation.fold_data import FoldData

_MIN_FOLDS = 2


@dataclass(frozen=True, slots=True)
class Protocol:
    """The options of `compare` and `cross-validate`. Empty `folds` means all folds of the manifest."""

    config: Path
    data: Path
    runs: Path
    folds: tuple[int, ...]
    num_seeds: int
    max_epochs: int | None
    is_frozen_only: bool
    skip_unreadable: bool
    allow_leakage: bool
    architecture: Architecture | None = None
    """None: the config's own; likewise `backbone`."""
    backbone: BackboneName | None = None


@dataclass(frozen=True, slots=True)
class PreparedFolds:
    """Decoded data to cross-validate on; `num_leaks` leaks were found and allowed."""

    data: "FoldData"
    videos: tuple[DecodedVideo, ...]
    num_leaks: int

    def measure_baselines(self, folds: Sequence[int]) -> Baselines:
        """Metrics of the baselines on `folds`, each fold predicted from the others."""
        return baselines_over_folds(self.videos, folds, self.data.labels)


def read_protocol(protocol: Protocol) -> tuple[TrainConfig, list[Example], tuple[int, ...]]:
    """Read the config with the protocol's changes, the examples that have a fold, and the folds to hold out.

    Raises:
        InvalidConfig: the config is for several machines, or does not fit the protocol's backbone.
        TrainingDataError: there are too few folds, a fold has no video, or a label has too few groups.
    """
    config = _configured(protocol)
    examples = [example for example in read_examples(protocol.data) if example.fold is not None]
    known = sorted({example.fold for example in examples if example.fold is not None})
    folds = tuple(dict.fromkeys(protocol.folds)) or tuple(known)
    if len(known) < _MIN_FOLDS or not set(folds) <= set(known):
        raise TrainingDataError(
            f"{protocol.data}: cross-validation needs a manifest with two folds or more, and has {known}"
        )
    _check_splits(config, protocol, examples, folds)
    return config, examples, folds


def _configured(protocol: Protocol) -> TrainConfig:
    config = read_config(protocol.config)
    stages = tuple(
        stage.model_copy(update={"num_epochs": min(stage.num_epochs, protocol.max_epochs or stage.num_epochs)})
        for stage in config.stages
        if stage.backbone == "frozen" or not protocol.is_frozen_only
    )
    if not stages:
        raise TrainingDataError(f"{protocol.config}: no stage has a frozen backbone: omit --frozen-only")
    if config.distribution == "multi_worker":
        raise InvalidConfig(
            f'{protocol.config}: distribution="multi_worker" is for train only: cross-validation runs on one machine'
        )
    changes = {
        "stages": stages,
        "architecture": protocol.architecture or config.architecture,
        "backbone": protocol.backbone or config.backbone,
    }
    return validate_config(config.model_copy(update=changes), protocol.config)


def _check_splits(config: TrainConfig, protocol: Protocol, examples: Sequence[Example], folds: Sequence[int]) -> None:
    """Check that each run has all labels in training and in validation.

    Raises:
        TrainingDataError: a label is missing.
    """
    for seed in training_seeds(config, protocol):
        for fold in folds:
            split_examples(examples, held_out_fold=fold, validation_fraction=config.validation_fraction, seed=seed)


def training_seeds(config: TrainConfig, protocol: Protocol) -> tuple[int, ...]:
    """The seeds to train with: the config's seed and the numbers after it."""
    return tuple(range(config.seed, config.seed + protocol.num_seeds))


@contextmanager
def prepare_folds(
    protocol: Protocol, config: TrainConfig, examples: Sequence[Example], folds: Sequence[int]
) -> Iterator[PreparedFolds]:
    """Decode the videos, merge the groups of duplicates, and yield the data to cross-validate on.

    Raises:
        TrainingDataError: a video cannot be read, or a fold to hold out leaks.
    """
    from model_training.cross_validation.fold_data import FoldData  # noqa: PLC0415 - TensorFlow

    with RunProgress() as display:
        checked = check_videos(
            config,
            examples,
            lambda example: example.fold if example.fold in folds else None,
            protocol.runs / "cache",
            display,
            skip_unreadable=protocol.skip_unreadable,
            allow_leakage=protocol.allow_leakage,
        )
        # Merged groups may leave a label with too few groups.
        _check_splits(config, protocol, checked.grouped, folds)
        if checked.num_leaks:
            display.log(leak_warning(checked.num_leaks))
        directory = protocol.runs / f"{config.name}-folds"
        directory.mkdir(parents=True, exist_ok=True)
        clips = [
            replace(clip, example=example)
            for video, example in zip(checked.videos, checked.grouped, strict=True)
            for clip in video.clips
        ]
        # Decoding ends before: it is interrupted by KeyboardInterrupt.
        with interrupt_flag() as is_stopping:
            if config.teacher is not None:
                from model_training.training.distillation import with_distillation_targets  # noqa: PLC0415 - TensorFlow

                clips = with_distillation_targets(clips, config.teacher, protocol.runs / "cache", display, is_stopping)
            data = FoldData(
                examples=checked.grouped,
                labels=labels_of(checked.grouped),
                clips=clips,
                directory=directory,
                display=display,
                is_stopping=is_stopping,
            )
            yield PreparedFolds(data=data, videos=checked.videos, num_leaks=checked.num_leaks)


def print_baselines_and_leaks(console: Console, metrics: "CrossValidation | Comparison", model_accuracy: float) -> None:
    """Print the baselines on the same videos and the number of leaks: they limit the trust in the metrics."""
    if metrics.baselines is not None:
        for name, score in metrics.baselines.by_name():
            console.print(f"{name}: accuracy {score.accuracy:.3f}, macro F1 {score.macro_f1:.3f}", soft_wrap=True)
        verdict = metrics.baselines.verdict(model_accuracy)
        if verdict is not None:
            console.print(verdict, soft_wrap=True)
    if metrics.num_leaks:
        console.print(leak_warning(metrics.num_leaks), soft_wrap=True)


def interval_text(interval: Interval | None, name: str = "95 %: ") -> str:
    """The interval in brackets, to append to a value; empty without an interval."""
    return "" if interval is None else f" [{name}{interval.low:.3f} to {interval.high:.3f}]"
