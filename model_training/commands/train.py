"""The stories behind `train` and `synthesise`, step by step; those of measuring are in `measuring`."""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

from model_training.atomic_files import write_atomically
from model_training.commands.command_line import command_line
from model_training.config import TrainConfig
from model_training.config_file import read_config
from model_training.cross_validation.record import read_cross_validation
from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.examples import read_examples
from model_training.datasets.preparation import TrainingData, prepare_data, split_by_config
from model_training.errors import TrainingInterrupted
from model_training.interrupt import interrupt_flag
from model_training.progress import RunProgress


def train(
    config_path: Path,
    data_directory: Path,
    models_directory: Path,
    version: str | None,
    runs_directory: Path,
    *,
    cross_validation_path: Path | None,
    skip_unreadable: bool,
    allow_leakage: bool,
) -> None:
    """Train what a config says on a folder of labelled videos, and export it.

    Interrupted, it goes on where it was when the same command is given again.
    """
    config = read_config(config_path)
    examples = read_examples(data_directory)
    split_by_config(config, examples)
    cross_validation = (
        None
        if cross_validation_path is None
        else read_cross_validation(config, examples, cross_validation_path, skip_unreadable=skip_unreadable)
    )
    # What cannot be written had better be known before an hour of training, and before TensorFlow's seconds.
    for directory in (models_directory, runs_directory):
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    from model_training.datasets.labels import clip_targets  # noqa: PLC0415
    from model_training.evaluation.calibration import fit_temperature  # noqa: PLC0415
    from model_training.export.export import TrainedRun, check_is_free, export_run, next_version  # noqa: PLC0415
    from model_training.training.distillation import with_distillation_targets  # noqa: PLC0415
    from model_training.training.distribution import is_chief  # noqa: PLC0415
    from model_training.training.loop import train_network  # noqa: PLC0415
    from model_training.training.plan import TrainingPlan  # noqa: PLC0415
    from model_training.training.prediction import clip_logits  # noqa: PLC0415

    version = version or next_version(models_directory, config.name)
    check_is_free(models_directory, config.name, version)
    with RunProgress() as display:
        data = prepare_data(
            config,
            examples,
            runs_directory / "cache",
            display,
            skip_unreadable=skip_unreadable,
            allow_leakage=allow_leakage,
        )
        labels, split = data.labels, data.split
        training, validation = data.clips(split.training), data.clips(split.validation)
        run_directory = runs_directory / f"{config.name}-{_run_key(config, labels, training, validation)}"
        run_directory.mkdir(parents=True, exist_ok=True)
        display.log(_opening(config, data, training, run_directory))
        with interrupt_flag() as is_stopping:
            if config.teacher is not None:
                cache = runs_directory / "cache"
                training = with_distillation_targets(training, config.teacher, cache, display, is_stopping)
            network, history = train_network(
                TrainingPlan(config, labels, training, validation, run_directory, display, is_stopping)
            )
            if is_stopping():
                raise TrainingInterrupted("interrupted: training is done and kept; the same command exports the model")
        if not is_chief(config):
            log("done; the first worker exports the model")
            return
        write_atomically({run_directory / "history.json": json.dumps(history, indent=2) + "\n"})
        temperature = fit_temperature(
            clip_logits(network, validation), clip_targets(validation, labels, config.head.kind), config.head.kind
        )
        display.log("exporting")
        manifest = export_run(
            TrainedRun(
                config,
                labels,
                split,
                network,
                temperature,
                history,
                command=_command_of(
                    config_path, cross_validation_path, skip_unreadable=skip_unreadable, allow_leakage=allow_leakage
                ),
                num_leaks=data.num_leaks,
                cross_validation=cross_validation,
            ),
            models_directory,
            version,
            runs_directory / "cache",
            display.log,
        )
    figures = manifest.metrics.get("held_out", manifest.metrics["validation"])
    which = f"fold {config.held_out_fold}, held out" if split.held_out else "validation videos; none was held out"
    log(f"{models_directory / config.name / version}: accuracy {figures['accuracy']:.3f} ({which})")


def _command_of(
    config_path: Path, cross_validation_path: Path | None, *, skip_unreadable: bool, allow_leakage: bool
) -> str:
    """The command that trains the same on the same data."""
    options = [] if cross_validation_path is None else ["--cross-validation", "FILE"]
    flags = {"--skip-unreadable": skip_unreadable, "--allow-leakage": allow_leakage}
    return command_line("train", config_path, options, flags)


def _run_key(
    config: TrainConfig, labels: tuple[str, ...], training: list[CachedClip], validation: list[CachedClip]
) -> str:
    """Differs whenever the config, the videos, their labels or the split do."""
    lines = [config.recipe, *labels]
    for use, clips in (("training", training), ("validation", validation)):
        lines += [f"{use} {c.cache_file.name} {c.index} {c.example.labels} {c.example.event_seconds}" for c in clips]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _opening(config: TrainConfig, data: TrainingData, training: list[CachedClip], run_directory: Path) -> str:
    split = data.split
    leaks = f"; {data.num_leaks} leaks between the held-out fold and the rest were allowed" if data.num_leaks else ""
    return (
        f"{config.name}: {len(split.training)} videos ({len(training)} clips) to train on, {len(split.validation)} for"
        f" validation, {len(split.held_out)} held out; checkpoints in {run_directory}{leaks}"
    )


def log(line: str) -> None:
    """One line of result, on standard output."""
    sys.stdout.write(f"{line}\n")
