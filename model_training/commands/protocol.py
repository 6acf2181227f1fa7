"""What `compare` and `cross-validate` share: the videos, folds and seeds of one protocol."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from model_training.config import Architecture, BackboneName, TrainConfig
from model_training.config_file import read_config, validate_config
from model_training.cross_validation.architectures import Comparison
from model_training.cross_validation.folds import FoldData
from model_training.datasets.clip_cache import DecodedVideo
from model_training.datasets.examples import Example, labels_of, read_examples
from model_training.datasets.preparation import check_videos, split_by_config
from model_training.errors import InvalidConfig, TrainingDataError
from model_training.evaluation.baselines import Baselines, baselines_over_folds
from model_training.evaluation.results import CrossValidation, Interval
from model_training.export.card import leak_warning
from model_training.interrupt import interrupt_flag
from model_training.progress import RunProgress


@dataclass(frozen=True, slots=True)
class Protocol:
    """What to train, on what, and how often. `folds` empty means all of the manifest."""

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
    """None: the config's own, as below."""
    backbone: BackboneName | None = None


@dataclass(frozen=True, slots=True)
class PreparedFolds:
    """What to train on fold by fold, and what is to be told beside every answer: `num_leaks` were allowed."""

    data: "FoldData"
    videos: tuple[DecodedVideo, ...]
    num_leaks: int

    def told_beside(self, folds: Sequence[int]) -> dict[str, int | Baselines]:
        """The leaks, and how well guesses answer the same folds; fields of what is measured."""
        baselines = baselines_over_folds(self.videos, folds, self.data.labels)
        return {"num_leaks": self.num_leaks, "baselines": baselines}


def read_protocol(protocol: Protocol) -> tuple[TrainConfig, list[Example], tuple[int, ...]]:
    """The config with the protocol's changes, the examples of its folds, and the folds to hold out.

    Raises:
        InvalidConfig: it is for several machines, or does not suit the protocol's backbone.
        TrainingDataError: no folds, one that holds no video, or a label with too few groups.
    """
    config = read_config(protocol.config)
    stages = tuple(
        stage.model_copy(update={"num_epochs": min(stage.num_epochs, protocol.max_epochs or stage.num_epochs)})
        for stage in config.stages
        if stage.backbone == "frozen" or not protocol.is_frozen_only
    )
    if not stages:
        raise TrainingDataError(f"{protocol.config}: no stage has a frozen backbone: leave --frozen-only out")
    examples = read_examples(protocol.data)
    known = sorted({example.fold for example in examples if example.fold is not None})
    # A fold named twice is held out once.
    folds = tuple(dict.fromkeys(protocol.folds)) or tuple(known)
    if len(known) < 2 or not set(folds) <= set(known):  # noqa: PLR2004 - one to hold out and one to train on
        raise TrainingDataError(
            f"{protocol.data}: cross-validation needs a manifest with two folds or more, and has {known}"
        )
    if config.distribution == "multi_worker":
        raise InvalidConfig(f'{protocol.config}: distribution="multi_worker" is for train: a fold has one machine')
    architecture, backbone = protocol.architecture or config.architecture, protocol.backbone or config.backbone
    changes = {"stages": stages, "architecture": architecture, "backbone": backbone}
    config = validate_config(config.model_copy(update=changes), protocol.config)
    in_folds = [example for example in examples if example.fold is not None]
    # Before hours of work, not after.
    check_splits(config, protocol, in_folds, folds)
    return config, in_folds, folds


def check_splits(config: TrainConfig, protocol: Protocol, examples: Sequence[Example], folds: Sequence[int]) -> None:
    """Nothing, if every run has its labels in training and in validation.

    Raises:
        TrainingDataError: one has not.
    """
    for seed in training_seeds(config, protocol):
        for fold in folds:
            split_by_config(config.model_copy(update={"seed": seed, "held_out_fold": fold}), examples)


def training_seeds(config: TrainConfig, protocol: Protocol) -> tuple[int, ...]:
    """The seeds to train with, counted up from the config's own."""
    return tuple(range(config.seed, config.seed + protocol.num_seeds))


@contextmanager
def prepare_folds(
    protocol: Protocol, config: TrainConfig, examples: Sequence[Example], folds: Sequence[int]
) -> Iterator[PreparedFolds]:
    """The decoded videos, twins counted as one group, so that validation is as far from training as the folds are.

    Raises:
        TrainingDataError: a video cannot be read, or a fold to hold out leaks.
    """
    from model_training.cross_validation.folds import FoldData  # noqa: PLC0415

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
        # DuplicatePair that count as one group may leave a label with too few.
        check_splits(config, protocol, checked.grouped, folds)
        if checked.num_leaks:
            display.log(leak_warning(checked.num_leaks))
        directory = protocol.runs / f"{config.name}-folds"
        directory.mkdir(parents=True, exist_ok=True)
        clips = [
            replace(clip, example=example)
            for video, example in zip(checked.videos, checked.grouped, strict=True)
            for clip in video.clips
        ]
        # Only now: decoding is stopped by Ctrl-C itself.
        with interrupt_flag() as is_stopping:
            if config.teacher is not None:
                from model_training.training.distillation import with_distillation_targets  # noqa: PLC0415

                clips = with_distillation_targets(clips, config.teacher, protocol.runs / "cache", display, is_stopping)
            data = FoldData(checked.grouped, labels_of(checked.grouped), clips, directory, display, is_stopping)
            yield PreparedFolds(data, checked.videos, checked.num_leaks)


def print_baselines_and_leaks(console: Console, figures: "CrossValidation | Comparison", model_accuracy: float) -> None:
    """What tells how far to trust the figures: how good guesses are on the same videos, and the leaks."""
    if figures.baselines is not None:
        for name, score in figures.baselines.named():
            console.print(f"{name}: accuracy {score.accuracy:.3f}, macro F1 {score.macro_f1:.3f}", soft_wrap=True)
        verdict = figures.baselines.verdict(model_accuracy)
        if verdict is not None:
            console.print(verdict, soft_wrap=True)
    if figures.num_leaks:
        console.print(leak_warning(figures.num_leaks), soft_wrap=True)


def interval_text(interval: "Interval | None", name: str = "95 %: ") -> str:
    """The interval in brackets, to follow a value; empty without one."""
    return "" if interval is None else f" [{name}{interval.low:.3f} to {interval.high:.3f}]"
