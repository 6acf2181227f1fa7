"""The stories behind `evaluate`, `card` and `verify`: what is measured of an exported model, step by step."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from model_training.atomic_files import check_writable, write_atomically
from model_training.config import TrainConfig
from model_training.datasets.decoding import UnreadableExample, decode_examples, readable_videos
from model_training.datasets.examples import Example, read_examples
from model_training.errors import TrainingDataError
from model_training.evaluation.baselines import Baselines, measure_baselines
from model_training.evaluation.recorded_split import recorded_split
from model_training.evaluation.results import Evaluation, Metrics
from model_training.export.model_directory import read_card, read_verified_manifest
from model_training.progress import RunProgress
from service.inference.manifest import CARD_JSON_NAME, Manifest

if TYPE_CHECKING:
    from model_training.evaluation.exported_model import Predictor

STANDARD_OUTPUT = Path("-")


@dataclass(frozen=True, slots=True)
class OutputPaths:
    """Where an evaluation is written; `figures` may be `STANDARD_OUTPUT`, which leaves the table out."""

    figures: Path | None = None
    predictions: Path | None = None
    report: Path | None = None


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """What to evaluate on: all videos of `data`, or those of some `folds`; what trained the model lies in `taught`.

    Videos that cannot be used are named and left out where `skip_unreadable` says so, and an error elsewhere.
    """

    data: Path
    folds: tuple[int, ...]
    taught: Path
    cache: Path
    skip_unreadable: bool = False


def evaluate(model_directory: Path, asked: EvaluationData, outputs: OutputPaths, over_http: str | None) -> None:
    """Print how good a model is on labelled videos, and how good guesses are that see no movement.

    Asks the exported model here, or the service at `over_http`, which must hold the same bytes. Guesses are taught
    on the model's own training videos; without these it is said why there are none.
    """
    check_writable(*({outputs.figures, outputs.predictions, outputs.report} - {STANDARD_OUTPUT}))
    data, folds = asked.data, asked.folds
    examples = _examples_of(data, folds)
    manifest = read_verified_manifest(model_directory)
    from model_training.evaluation.exported_model import predict_examples  # noqa: PLC0415
    from model_training.evaluation.measure import compute_metrics, prediction_record  # noqa: PLC0415

    with RunProgress() as display:
        with (
            display.bar("evaluate", len(examples), "videos") as on_video,
            _predictor(model_directory, over_http) as model,
        ):
            unreadable: list[UnreadableExample] = []
            predictions = predict_examples(
                model, manifest, examples, on_video, unreadable if asked.skip_unreadable else None
            )
        for left_out in unreadable:
            display.log(f"left out: {left_out.example.listed}: {left_out.reason}")
        without = {left_out.example for left_out in unreadable}
        examples = [example for example in examples if example not in without]
        if not examples:
            raise TrainingDataError(f"{data}: not one video can be read")
        figures = compute_metrics(predictions, examples, manifest)
        try:
            baselines = _baselines(model_directory, manifest, asked, examples, display)
        except TrainingDataError as error:
            baselines = None
            display.log(f"no baselines: {error}")
    evaluation = Evaluation.model_validate(
        dict(figures)
        | {"model": manifest.name, "version": manifest.version, "digest": manifest.digest}
        | {"folds": folds, "over_http": over_http, "baselines": baselines, "num_unreadable": len(unreadable)}
    )
    # What is printed is there, whatever becomes of the files.
    if outputs.figures == STANDARD_OUTPUT:
        sys.stdout.write(evaluation.model_dump_json() + "\n")
    else:
        _print_figures(evaluation)
        if set(folds) != {manifest.training.get("config", {}).get("held_out_fold")}:
            sys.stdout.write("These videos may include those that the model was trained on.\n")
    texts = {}
    if outputs.figures not in {None, STANDARD_OUTPUT}:
        texts[outputs.figures] = evaluation.model_dump_json(indent=1) + "\n"
    if outputs.predictions is not None:
        root = data if data.is_dir() else data.parent
        pairs = zip(predictions, examples, strict=True)
        records = [prediction_record(prediction, example, root) for prediction, example in pairs]
        texts[outputs.predictions] = json.dumps({"labels": manifest.labels, "videos": records}) + "\n"
    if outputs.report is not None:
        from model_training.evaluation.html_report import report_html  # noqa: PLC0415

        history = read_card(model_directory).history if (model_directory / CARD_JSON_NAME).exists() else ()
        texts[outputs.report] = report_html(evaluation, predictions, examples, history, manifest)
    write_atomically(texts)


@contextmanager
def _predictor(model_directory: Path, over_http: str | None) -> "Iterator[Predictor]":
    if over_http is None:
        from model_training.evaluation.exported_model import ExportedModel  # noqa: PLC0415

        yield ExportedModel(model_directory)
        return
    from model_training.evaluation.remote_model import remote_model  # noqa: PLC0415

    with remote_model(over_http) as model:
        yield model


def _baselines(
    model_directory: Path, manifest: Manifest, asked: EvaluationData, examples: Sequence[Example], display: RunProgress
) -> Baselines:
    """How good the guesses are on `examples`, taught on the videos that the model was trained on.

    Raises:
        TrainingDataError: these are not known, not there, or among the examples.
    """
    taught = read_examples(asked.taught)
    recorded = read_card(model_directory).assessment.data
    config = TrainConfig.model_validate(manifest.training["config"])
    training = recorded_split(config, recorded, taught, asked.cache, display).training
    with display.bar("baselines", len(training) + len(examples), "videos") as on_video:
        known, new = (
            readable_videos(decode_examples(part, manifest.clip, asked.cache, on_video), skip_unreadable=False)
            for part in (training, examples)
        )
    contents = {(video.file_sha256, video.example.segment_seconds) for video in known}
    num_known = sum((video.file_sha256, video.example.segment_seconds) in contents for video in new)
    if num_known:
        raise TrainingDataError(f"the model was trained on {num_known} of these {len(new)} videos")
    return measure_baselines(known, new, manifest.labels)


def _examples_of(data: Path, folds: Sequence[int]) -> list[Example]:
    examples = [example for example in read_examples(data) if not folds or example.fold in folds]
    if not examples:
        raise TrainingDataError(f"{data}: no video is in fold {', '.join(map(str, folds))}")
    return examples


def _print_figures(figures: Evaluation) -> None:
    console = Console(file=sys.stdout, highlight=False)
    columns = ("label", "precision", "recall", "F1", "ROC AUC", "average precision", "videos")
    table = Table(*columns, title=f"{figures.model} {figures.version}")
    for name, row in (*figures.per_label.items(), ("macro", figures.macro)):
        shares = (row.precision, row.recall, row.f1, row.roc_auc, row.average_precision)
        count = getattr(row, "num_videos", figures.num_videos)
        table.add_row(name, *("-" if share is None else f"{share:.3f}" for share in shares), str(count))
    console.print(table)
    if figures.confusion is not None:
        confusion = Table("true \\ answered", *figures.labels, title="confusion")
        for label, counts in zip(figures.labels, figures.confusion, strict=True):
            confusion.add_row(label, *map(str, counts))
        console.print(confusion)
    if figures.baselines is not None:
        guesses = Table("answered by", "accuracy", "macro F1", title="baselines, on the same videos")
        for name, score in figures.baselines.beside(figures.accuracy, figures.macro.f1):
            guesses.add_row(name, f"{score.accuracy:.3f}", f"{score.macro_f1:.3f}")
        console.print(guesses)
        verdict = figures.baselines.verdict(figures.accuracy)
        if verdict is not None:
            console.print(verdict, soft_wrap=True)
    for line in _lines(figures):
        console.print(line)


def _lines(figures: Metrics) -> Iterator[str]:
    def sure(name: str) -> str:
        interval = figures.intervals.get(name)
        return "" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]"

    yield (
        f"accuracy {figures.accuracy:.3f}{sure('accuracy')}, balanced {figures.balanced_accuracy:.3f}"
        f"{sure('balanced_accuracy')} on {figures.num_videos} videos of {figures.num_groups} groups,"
        f" {figures.num_clips} clips; brackets are 95 % intervals, groups drawn"
    )
    for k, share in figures.top_k_accuracy.items():
        yield f"top-{k} accuracy {share:.3f}"
    yield f"calibration error {figures.expected_calibration_error:.3f}{sure('expected_calibration_error')}"
    abstention, sets, attention, cost = figures.abstention, figures.label_sets, figures.attention, figures.cost
    if abstention is not None:
        yield (
            f"threshold {abstention.threshold}: {abstention.coverage:.3f} answered,"
            f" accuracy {abstention.accuracy_when_answering}"
        )
    if sets is not None:
        yield (
            f"label sets for {sets.coverage_asked:.0%}: the true label is in {sets.coverage:.3f},"
            f" {sets.mean_size:.2f} labels on average"
        )
    if attention is not None:
        yield (
            f"attention: peak inside the event {attention.pointing_game_hit_rate:.3f},"
            f" mass inside {attention.mass_inside_event:.3f} (chance {attention.chance_mass:.3f})"
        )
    if cost is not None:
        yield (
            f"cost: decode {cost.decode_milliseconds_per_video:.1f} ms a video,"
            f" model {cost.model_milliseconds_per_clip:.1f} ms a clip (medians)"
        )
