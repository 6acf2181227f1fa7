"""The command `evaluate`: measure an exported model on labelled videos."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_training.atomic_files import check_writable, write_atomically
from model_training.commands.evaluation_table import print_evaluation
from model_training.config import TrainConfig
from model_training.datasets.decoding import UnreadableExample, decode_examples, readable_videos
from model_training.datasets.examples import Example, read_examples
from model_training.errors import TrainingDataError
from model_training.evaluation.baselines import Baselines, measure_baselines
from model_training.evaluation.recorded_split import recorded_split
from model_training.evaluation.results import Evaluation, evaluation_of
from model_training.export.model_directory import read_card, read_verified_manifest
from model_training.progress import RunProgress
from service.inference.manifest import CARD_JSON_NAME, Manifest

if TYPE_CHECKING:
    from model_training.evaluation.exported_model import Predictor, VideoPrediction

STANDARD_OUTPUT = Path("-")


@dataclass(frozen=True, slots=True)
class OutputPaths:
    """Files that `evaluate` writes. `metrics` may be `STANDARD_OUTPUT`, which replaces the printed table."""

    metrics: Path | None = None
    predictions: Path | None = None
    report: Path | None = None


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """Videos to evaluate on: all of `data`, or some `folds` of it.

    `training_data` contains the videos that the model was trained on, for the baselines. With `skip_unreadable`,
    unreadable videos are listed and left out; otherwise they are an error.
    """

    data: Path
    folds: tuple[int, ...]
    training_data: Path
    cache: Path
    skip_unreadable: bool = False


def evaluate(model_directory: Path, data: EvaluationData, outputs: OutputPaths, over_http: str | None) -> None:
    """Print the metrics of a model on labelled videos, beside baselines that do not see movement.

    Predicts with the exported model, or with the service at `over_http`, which must serve the same bytes. The
    baselines are fitted on the model's training videos; if these are not available, a message gives the reason.
    """
    written = {outputs.metrics, outputs.predictions, outputs.report} - {STANDARD_OUTPUT}
    check_writable(*written, inputs=(data.data, data.training_data, *model_directory.rglob("*")))
    examples = _read_selected(data)
    check_writable(*written, inputs=(example.path for example in examples))
    manifest = read_verified_manifest(model_directory)
    from model_training.evaluation.measure import compute_metrics  # noqa: PLC0415 - TensorFlow

    with RunProgress() as display:
        predictions, readable = _predict(model_directory, manifest, examples, data, display, over_http)
        metrics = compute_metrics(predictions, readable, manifest)
        try:
            baselines = _baselines(model_directory, manifest, data, readable, display)
        except TrainingDataError as error:
            baselines = None
            display.log(f"no baselines: {error}")
    evaluation = evaluation_of(
        metrics,
        model=manifest.name,
        version=manifest.version,
        digest=manifest.digest,
        folds=data.folds,
        over_http=over_http,
        num_unreadable=len(examples) - len(readable),
        baselines=baselines,
    )
    # Printed before the files are written, which may fail.
    if outputs.metrics == STANDARD_OUTPUT:
        sys.stdout.write(evaluation.model_dump_json() + "\n")
    else:
        print_evaluation(evaluation)
        if set(data.folds) != {manifest.training.get("config", {}).get("held_out_fold")}:
            sys.stdout.write("Some of these videos may be training videos of the model.\n")
    write_atomically(_files(model_directory, manifest, evaluation, predictions, readable, data, outputs))


def _read_selected(data: EvaluationData) -> list[Example]:
    examples = [example for example in read_examples(data.data) if not data.folds or example.fold in data.folds]
    if not examples:
        raise TrainingDataError(f"{data.data}: no video is in fold {', '.join(map(str, data.folds))}")
    return examples


def _predict(  # noqa: PLR0917 - one use
    model_directory: Path,
    manifest: Manifest,
    examples: Sequence[Example],
    data: EvaluationData,
    display: RunProgress,
    over_http: str | None,
) -> "tuple[list[VideoPrediction], list[Example]]":
    """Predictions, and the examples that they are of: the readable ones.

    Raises:
        TrainingDataError: a video cannot be read and must not be skipped, or no video can be read.
    """
    from model_training.evaluation.exported_model import predict_examples  # noqa: PLC0415 - TensorFlow

    unreadable: list[UnreadableExample] = []
    with (
        display.bar("evaluate", len(examples), "videos") as on_video,
        _predictor(model_directory, over_http) as model,
    ):
        predictions = predict_examples(
            model, manifest, examples, on_video, unreadable if data.skip_unreadable else None
        )
    for skipped in unreadable:
        display.log(f"left out: {skipped.example.listed}: {skipped.reason}")
    skipped_examples = {skipped.example for skipped in unreadable}
    readable = [example for example in examples if example not in skipped_examples]
    if not readable:
        raise TrainingDataError(f"{data.data}: no video can be read")
    return predictions, readable


@contextmanager
def _predictor(model_directory: Path, over_http: str | None) -> "Iterator[Predictor]":
    if over_http is None:
        from model_training.evaluation.exported_model import ExportedModel  # noqa: PLC0415 - TensorFlow

        yield ExportedModel(model_directory)
        return
    from model_training.evaluation.remote_model import remote_model  # noqa: PLC0415 - imports TensorFlow too

    with remote_model(over_http) as model:
        yield model


def _baselines(
    model_directory: Path, manifest: Manifest, data: EvaluationData, examples: Sequence[Example], display: RunProgress
) -> Baselines:
    """Metrics of the baselines on `examples`, fitted on the model's training videos.

    Raises:
        TrainingDataError: the training videos are unknown, missing, or among the examples.
    """
    candidates = read_examples(data.training_data)
    recorded = read_card(model_directory).assessment.data
    config = TrainConfig.model_validate(manifest.training["config"])
    training = recorded_split(config, recorded, candidates, data.cache, display).training
    with display.bar("baselines", len(training) + len(examples), "videos") as on_video:
        fitted_on, evaluated = (
            readable_videos(decode_examples(part, manifest.clip, data.cache, on_video), skip_unreadable=False)
            for part in (training, examples)
        )
    contents = {(video.file_sha256, video.example.segment_seconds) for video in fitted_on}
    num_shared = sum((video.file_sha256, video.example.segment_seconds) in contents for video in evaluated)
    if num_shared:
        raise TrainingDataError(f"the model was trained on {num_shared} of these {len(evaluated)} videos")
    return measure_baselines(fitted_on, evaluated, manifest.labels)


def _files(  # noqa: PLR0917 - one use
    model_directory: Path,
    manifest: Manifest,
    evaluation: Evaluation,
    predictions: "Sequence[VideoPrediction]",
    examples: Sequence[Example],
    data: EvaluationData,
    outputs: OutputPaths,
) -> dict[Path, str]:
    """The texts of the requested files, by path."""
    texts = {}
    if outputs.metrics is not None and outputs.metrics != STANDARD_OUTPUT:
        texts[outputs.metrics] = evaluation.model_dump_json(indent=1) + "\n"
    if outputs.predictions is not None:
        from model_training.evaluation.measure import prediction_record  # noqa: PLC0415 - TensorFlow

        root = data.data if data.data.is_dir() else data.data.parent
        pairs = zip(predictions, examples, strict=True)
        records = [prediction_record(prediction, example, root) for prediction, example in pairs]
        texts[outputs.predictions] = json.dumps({"labels": manifest.labels, "videos": records}) + "\n"
    if outputs.report is not None:
        from model_training.evaluation.html_report import report_html  # noqa: PLC0415 - TensorFlow, Matplotlib

        history = read_card(model_directory).history if (model_directory / CARD_JSON_NAME).exists() else ()
        texts[outputs.report] = report_html(evaluation, predictions, examples, history, manifest)
    return texts
