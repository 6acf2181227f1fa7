"""Exports a trained network to `models/<name>/<version>/`: SavedModel, golden clips, manifest and card.

The directory is created completely or not at all.
"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import tensorflow as tf

from model_training.atomic_files import write_atomically
from model_training.config import TrainConfig, num_frames_per_step
from model_training.datasets.splits import Split
from model_training.errors import TrainingError
from model_training.evaluation.assessment import Step, apply_assessment, assess
from model_training.evaluation.exported_model import ExportedModel
from model_training.evaluation.results import Assessment, CrossValidation
from model_training.export.card import build_card
from model_training.export.card_markdown import card_markdown
from model_training.export.golden import golden_clips
from model_training.export.model_directory import check_version_is_free
from model_training.export.saved_model import save_graph
from model_training.networks.network import Network
from service.inference.manifest import CARD_JSON_NAME, CARD_NAME, MANIFEST_NAME, GoldenClip, Manifest, file_digests


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A finished training run."""

    config: TrainConfig
    labels: tuple[str, ...]
    split: Split
    network: Network
    temperature: float
    history: Sequence[dict[str, Any]]
    command: str
    """The command line that repeats the run, with DIR for the data."""
    num_leaks: int = 0
    """Allowed leaks between the held-out fold and the other folds."""
    cross_validation: CrossValidation | None = None


def export_run(
    run: TrainedRun,
    models_directory: Path,
    version: str,
    cache_directory: Path,
    on_step: Step = lambda _name: None,
) -> Manifest:
    """Export the model of a finished run, measure the exported model, and return its manifest.

    Calls `on_step` with the name of each measurement.

    Raises:
        TrainingDataError: the version exists, or a video cannot be decoded.
        TrainingError: the disk is full.
    """
    directory = check_version_is_free(models_directory, run.config.name, version)
    partial = models_directory / f".partial-{run.config.name}-{version}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        save_graph(run.network, run.config, run.temperature, partial)
        model = ExportedModel(partial)
        golden = golden_clips(model, run.config.clip, partial)
        draft = _draft(run, version, golden, partial)
        assessment = assess(model, draft, run.config, run.split, cache_directory, on_step)
        manifest = write_documents(partial, draft, run.config, assessment, tuple(run.history))
        directory.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(directory)
    except OSError as error:
        raise TrainingError(
            f"{directory}: cannot be exported: {error.strerror or error}; the training is saved:"
            " the same command exports it"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def write_documents(
    directory: Path,
    manifest: Manifest,
    config: TrainConfig,
    assessment: Assessment,
    history: tuple[dict[str, Any], ...],
) -> Manifest:
    """Write manifest and cards of the SavedModel in `directory`, and return the manifest.

    Replaces the measured fields of `manifest` and the digests of the cards.
    """
    documents = (CARD_NAME, CARD_JSON_NAME)
    files = {name: digest for name, digest in file_digests(directory).items() if name not in documents}
    manifest = apply_assessment(manifest, config, assessment, files)
    card = build_card(manifest, config, assessment, history)
    texts = {CARD_NAME: card_markdown(card), CARD_JSON_NAME: card.to_json()}
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    manifest = apply_assessment(manifest, config, assessment, dict(sorted((files | digests).items())))
    texts[MANIFEST_NAME] = manifest.to_json()
    write_atomically({directory / name: text for name, text in texts.items()})
    return manifest


def _draft(run: TrainedRun, version: str, golden: list[GoldenClip], directory: Path) -> Manifest:
    """The manifest before the measurements."""
    config = run.config
    step = num_frames_per_step(config.backbone)
    return Manifest(
        name=config.name,
        version=version,
        description=config.description,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        labels=run.labels,
        clip=config.clip,
        combine=config.combine,
        head=None if config.head.kind == "softmax" else config.head.kind,
        num_frames_per_step=None if step == 1 else step,
        temperature=run.temperature,
        golden=tuple(golden),
        metrics={} if run.cross_validation is None else {"cross_validation": run.cross_validation.model_dump()},
        training={
            "config": config.model_dump(mode="json"),
            "num_videos": {
                "training": len(run.split.training),
                "validation": len(run.split.validation),
                "held_out": len(run.split.held_out),
            },
            "num_groups": {
                "training": len({example.group for example in run.split.training}),
                "validation": len({example.group for example in run.split.validation}),
                "held_out": len({example.group for example in run.split.held_out}),
            },
            "command": run.command,
            "num_leaks": run.num_leaks,
            "num_epochs": len(run.history),
            "num_parameters": int(sum(variable.value.shape.num_elements() for variable in run.network.variables)),
            "versions": {"tensorflow": tf.__version__}
            | {name: package_version(name) for name in ("keras", "numpy", "av")},
        },
        files=file_digests(directory),
    )
