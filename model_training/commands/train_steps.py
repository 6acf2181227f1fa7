"""The steps of `train` that need TensorFlow: prepare, fit, calibrate and export."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_training.atomic_files import write_atomically
from model_training.commands.train_options import TrainInputs, TrainOptions
from model_training.config import TrainConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.labels import clip_targets
from model_training.datasets.preparation import TrainingData, prepare_data
from model_training.errors import TrainingInterrupted
from model_training.evaluation.calibration import fit_temperature
from model_training.export.export import TrainedRun, export_run
from model_training.interrupt import interrupt_flag
from model_training.networks.network import Network
from model_training.progress import RunProgress
from model_training.training.distillation import with_distillation_targets
from model_training.training.distribution import is_chief
from model_training.training.loop import train_network
from model_training.training.plan import TrainingPlan
from model_training.training.prediction import clip_logits
from service.inference.manifest import Manifest


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """Decoded and split data of a run; checkpoints are in `run_directory`."""

    inputs: TrainInputs
    data: TrainingData
    training: list[CachedClip]
    validation: list[CachedClip]
    run_directory: Path


@dataclass(frozen=True, slots=True)
class FittedNetwork:
    """A trained network and the metrics of each epoch."""

    network: Network
    history: Sequence[dict[str, Any]]


def prepare(inputs: TrainInputs, options: TrainOptions, display: RunProgress) -> PreparedRun:
    """Decode the videos, check them for leaks, and split them.

    Raises:
        TrainingDataError: a video cannot be used, or the held-out fold leaks.
    """
    config = inputs.config
    data = prepare_data(
        config,
        inputs.examples,
        options.cache,
        display,
        skip_unreadable=options.skip_unreadable,
        allow_leakage=options.allow_leakage,
    )
    training, validation = data.clips(data.split.training), data.clips(data.split.validation)
    run_directory = options.runs / f"{config.name}-{_run_key(config, data.labels, training, validation)}"
    run_directory.mkdir(parents=True, exist_ok=True)
    prepared = PreparedRun(
        inputs=inputs, data=data, training=training, validation=validation, run_directory=run_directory
    )
    display.log(_summary(prepared))
    return prepared


def fit(prepared: PreparedRun, options: TrainOptions, display: RunProgress) -> FittedNetwork:
    """Train the network, from the run's checkpoint if there is one.

    Raises:
        TrainingInterrupted: Ctrl-C was pressed; the checkpoint is saved.
    """
    config, training = prepared.inputs.config, prepared.training
    with interrupt_flag() as is_stopping:
        if config.teacher is not None:
            training = with_distillation_targets(training, config.teacher, options.cache, display, is_stopping)
        network, history = train_network(
            TrainingPlan(
                config=config,
                labels=prepared.data.labels,
                training=training,
                validation=prepared.validation,
                run_directory=prepared.run_directory,
                display=display,
                is_stopping=is_stopping,
            )
        )
        if is_stopping():
            raise TrainingInterrupted("interrupted: training is finished and saved; the same command exports the model")
    return FittedNetwork(network=network, history=history)


def is_exporter(config: TrainConfig) -> bool:
    """Whether this process exports the model: with `multi_worker`, the first worker only."""
    return is_chief(config)


def calibrate(prepared: PreparedRun, trained: FittedNetwork) -> float:
    """Fit the temperature on the validation clips."""
    kind = prepared.inputs.config.head.kind
    targets = clip_targets(prepared.validation, prepared.data.labels, kind)
    return fit_temperature(clip_logits(trained.network, prepared.validation), targets, kind)


def export(
    prepared: PreparedRun, trained: FittedNetwork, temperature: float, options: TrainOptions, display: RunProgress
) -> Manifest:
    """Write the epoch history to the run's directory, and the model to the models directory.

    Raises:
        TrainingError: the disk is full; the training is kept.
    """
    history_text = json.dumps(trained.history, indent=2) + "\n"
    write_atomically({prepared.run_directory / "history.json": history_text})
    display.log("exporting")
    run = TrainedRun(
        config=prepared.inputs.config,
        labels=prepared.data.labels,
        split=prepared.data.split,
        network=trained.network,
        temperature=temperature,
        history=trained.history,
        command=options.command,
        num_leaks=prepared.data.num_leaks,
        cross_validation=prepared.inputs.cross_validation,
    )
    return export_run(run, options.models, prepared.inputs.version, options.cache, display.log)


def _run_key(
    config: TrainConfig, labels: tuple[str, ...], training: list[CachedClip], validation: list[CachedClip]
) -> str:
    """A digest of config, videos, labels and split: names the run's directory."""
    lines = [config.recipe, *labels]
    for use, clips in (("training", training), ("validation", validation)):
        lines += [f"{use} {c.cache_file.name} {c.index} {c.example.labels} {c.example.event_seconds}" for c in clips]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _summary(prepared: PreparedRun) -> str:
    split, num_leaks = prepared.data.split, prepared.data.num_leaks
    leaks = f"; {num_leaks} leaks between the held-out fold and the other folds are allowed" if num_leaks else ""
    return (
        f"{prepared.inputs.config.name}: {len(split.training)} training videos ({len(prepared.training)} clips),"
        f" {len(split.validation)} validation videos, {len(split.held_out)} held-out videos; checkpoints in"
        f" {prepared.run_directory}{leaks}"
    )
