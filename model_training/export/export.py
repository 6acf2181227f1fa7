"""A trained network -> `models/<name>/<version>/`: SavedModel, golden clips, manifest and card.

The directory appears whole or not at all.
"""

import errno
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from model_training.atomic_files import write_whole
from model_training.config import TrainConfig, num_frames_per_step
from model_training.datasets.splits import Split
from model_training.errors import TrainingDataError, TrainingError
from model_training.evaluation.assessment import Step, assess, with_assessment
from model_training.evaluation.measure import ExportedModel
from model_training.evaluation.results import Assessment, CrossValidation
from model_training.export.card import build_card, card_markdown
from model_training.networks.batch_norm_folding import without_batch_norm
from model_training.networks.heads import Network, probabilities_of
from model_training.synthetic.render import render_video
from model_training.synthetic.scenes import EVENT_LABELS
from service.inference.manifest import CARD_JSON_NAME, CARD_NAME, MANIFEST_NAME, GoldenClip, Manifest, file_digests
from service.video.clip import ClipSpec, DecodeLimits
from service.video.decode import open_video

_NUM_GOLDEN = 3
_GOLDEN_FRAME_RATE = 15


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A finished run: what was trained, on what, and how it went."""

    config: TrainConfig
    labels: tuple[str, ...]
    split: Split
    network: Network
    temperature: float
    history: Sequence[dict[str, Any]]
    command: str
    """What was asked for, with DIR for the data: the same gives the same."""
    num_leaks: int = 0
    """Allowed between the held-out fold and the rest."""
    cross_validation: CrossValidation | None = None


def next_version(models_directory: Path, name: str) -> str:
    """The version after the last one of this name."""
    folder = models_directory / name
    taken = [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
    return str(max(taken, default=0) + 1)


def check_is_free(models_directory: Path, name: str, version: str) -> Path:
    """The directory of a model that does not exist yet.

    Raises:
        TrainingDataError: it does; a published version is never changed.
    """
    directory = models_directory / name / version
    if directory.exists():
        raise TrainingDataError(f"{directory} exists already, and a version is never changed: give another --version")
    return directory


def export_run(
    run: TrainedRun,
    models_directory: Path,
    version: str,
    cache_directory: Path,
    on_step: Step = lambda _name: None,
) -> Manifest:
    """Write the model of a finished run, measured as exported, and say what it is.

    The abstention threshold and the label sets come from the validation videos; the figures from the
    held-out fold and, apart, from validation. Calls `on_step` with what is being measured.

    Raises:
        TrainingDataError: the version exists already, or a video cannot be used.
        TrainingError: the disk does not take it.
    """
    directory = check_is_free(models_directory, run.config.name, version)
    partial = models_directory / f".partial-{run.config.name}-{version}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        save_graph(run.network, run.config, run.temperature, partial)
        model = ExportedModel(partial)
        golden = _golden_clips(model, run.config.clip, partial)
        draft = _draft(run, version, golden, partial)
        assessment = assess(model, draft, run.config, run.split, cache_directory, on_step)
        manifest = write_documents(partial, draft, run.config, assessment, tuple(run.history))
        directory.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(directory)
    except OSError as error:
        raise TrainingError(
            f"{directory}: cannot be exported: {error.strerror or error}; training is kept: the same command exports it"
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
    """Write manifest and cards of the SavedModel in `directory`, and say what the manifest is.

    Of `manifest` everything is kept but what was measured, and the digests of the cards.
    """
    documents = (CARD_NAME, CARD_JSON_NAME)
    files = {name: digest for name, digest in file_digests(directory).items() if name not in documents}
    manifest = with_assessment(manifest, config, assessment).model_copy(update={"files": files})
    card = build_card(manifest, config, assessment, history)
    texts = {CARD_NAME: card_markdown(card), CARD_JSON_NAME: card.to_json()}
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    manifest = manifest.model_copy(update={"files": dict(sorted((files | digests).items()))})
    texts[MANIFEST_NAME] = manifest.to_json()
    write_whole({directory / name: text for name, text in texts.items()})
    return manifest


def save_graph(network: Network, config: TrainConfig, temperature: float, directory: Path) -> None:
    """Write the SavedModel of the network that `config` describes: one signature, `serving_default`.

    Inputs `frames` uint8 [B,T,H,W,3] and `valid` bool [B,T]; outputs `probabilities` float32 [B,K] and
    `attention` float32 [B,T]. The clips of a batch are worked on one by one inside the graph, so a
    clip's answer is the same, bit for bit, in a batch of any size. Its numbers are kept in the config's
    `stored_precision`, and widened to float32 before anything is computed; batch normalisation is folded.

    Raises:
        OSError: the disk does not take it.
    """
    spec, answering = config.clip, without_batch_norm(network, config)
    # Of the rest, states of random generators, answering has no use.
    stored = [
        (variable, tf.Variable(tf.cast(variable.value, config.stored_precision), trainable=False))
        for variable in answering.variables
        if variable.dtype == "float32"
    ]

    def serve(frames: Any, valid: Any) -> dict[str, Any]:
        # Widened once for all clips of a batch.
        numbers = [(variable, tf.cast(value, variable.dtype)) for variable, value in stored]

        def answer_clip(clip: tuple[Any, Any]) -> tuple[Any, Any]:
            with keras.StatelessScope(state_mapping=numbers):
                logits, attention = answering(clip[0][None], clip[1][None])
            return probabilities_of(logits / temperature, answering.kind)[0], attention[0]

        probabilities, attention = tf.map_fn(
            answer_clip, (frames, valid), fn_output_signature=(tf.float32, tf.float32), parallel_iterations=1
        )
        return {"probabilities": probabilities, "attention": attention}

    module = tf.Module()
    module.network_variables = [value for _, value in stored]
    shape = (None, spec.num_frames, spec.height, spec.width, 3)
    signature = tf.function(
        serve,
        input_signature=[
            tf.TensorSpec(shape, tf.uint8, name="frames"),
            tf.TensorSpec(shape[:2], tf.bool, name="valid"),
        ],
        autograph=False,
    ).get_concrete_function()
    options = tf.saved_model.SaveOptions(experimental_debug_stripper=True)
    try:
        tf.saved_model.save(module, str(directory), signatures={"serving_default": signature}, options=options)
    except tf.errors.OpError as error:
        # TensorFlow's message begins with the file and ends with what the system said of it.
        raise OSError(errno.EIO, " ".join(error.message.split()), str(directory)) from error
    shutil.rmtree(directory / "assets", ignore_errors=True)


def _golden_clips(model: ExportedModel, spec: ClipSpec, directory: Path) -> list[GoldenClip]:
    """Three painted videos of one clip each, the last one shorter than its window, and their answers."""
    (directory / "golden").mkdir()
    golden = []
    for index in range(_NUM_GOLDEN):
        path = directory / "golden" / f"{index + 1}.mp4"
        share = 0.97 if index + 1 < _NUM_GOLDEN else 0.7
        render_video(
            path,
            EVENT_LABELS[index],
            seed=1000 + index,
            width=192,
            height=144,
            frame_rate=_GOLDEN_FRAME_RATE,
            duration_seconds=max(min(share * spec.window_seconds, 8.0), 1 / _GOLDEN_FRAME_RATE),
        )
        with open_video(path, DecodeLimits()) as video:
            clip = next(video.clips(spec, video.plan(spec)))
        probabilities, attention = model.answer(clip.frames[None], clip.times.valid[None])
        golden.append(
            GoldenClip(
                path=path.relative_to(directory).as_posix(),
                frames_sha256=hashlib.sha256(clip.frames.tobytes()).hexdigest(),
                probabilities=tuple(probabilities[0].tolist()),
                attention=tuple(attention[0].tolist()),
                times_seconds=tuple(clip.times.times_seconds.tolist()),
            )
        )
    return golden


def _draft(run: TrainedRun, version: str, golden: list[GoldenClip], directory: Path) -> Manifest:
    """The manifest before anything is measured."""
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
