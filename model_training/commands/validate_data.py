"""The command `validate-data`: decode a dataset and report problems before training."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from model_training.atomic_files import check_writable, write_atomically
from model_training.config_file import read_config
from model_training.datasets.decoding import decode_examples
from model_training.datasets.examples import read_examples
from model_training.errors import TrainingDataError
from model_training.evaluation.data_report import DataReport, data_report
from model_training.progress import RunProgress
from service.video.clip import ClipSpec

_DEFAULT_SPEC = ClipSpec(num_frames=16, height=160, width=160, frames_per_second=8, stride_seconds=2.0)
_NUM_SHOWN = 10


def validate_data(source: Path, config_path: Path | None, runs_directory: Path, json_path: Path | None) -> None:
    """Print statistics and problems of a dataset. The decoded clips are cached for training with the same config.

    Raises:
        TrainingDataError: the dataset has problems; the message lists them.
    """
    check_writable(json_path, inputs=(source, config_path))
    config = None if config_path is None else read_config(config_path)
    held_out_fold = None if config is None else config.held_out_fold
    examples = read_examples(source)
    check_writable(json_path, inputs=(example.path for example in examples))
    with RunProgress() as display, display.bar("decode", len(examples), "videos") as on_video:
        spec = _DEFAULT_SPEC if config is None else config.clip
        decoding = decode_examples(examples, spec, runs_directory / "cache", on_video)
    report = data_report(source, decoding, held_out_fold)
    _print_report(report)
    if json_path is not None:
        write_atomically({json_path: report.model_dump_json(indent=1) + "\n"})
    if report.problems:
        raise TrainingDataError(f"{source}: " + "; ".join(report.problems))


def _print_report(report: DataReport) -> None:
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    table = Table("label", "videos", "groups", title=f"{report.source}: {report.num_videos} videos")
    for label, count in report.labels.items():
        table.add_row(label, str(count.num_videos), str(count.num_groups))
    console.print(table)
    for line in _lines(report):
        console.print(line, markup=False)


def _lines(report: DataReport) -> Iterator[str]:
    seconds, rate = report.duration_seconds, report.frame_rate
    yield (
        f"{report.num_clips} clips; {seconds.least:g} to {seconds.most:g} s long (median {seconds.median:g}),"
        f" {rate.least:g} to {rate.most:g} frames a second (median {rate.median:g})"
    )
    for name, counts in (("sizes", report.sizes), ("codecs", report.codecs)):
        shown = ", ".join(f"{count} {value}" for value, count in list(counts.items())[:_NUM_SHOWN])
        yield f"{name}: {shown}" + (f" and {len(counts) - _NUM_SHOWN} more" if len(counts) > _NUM_SHOWN else "")
    if report.num_without_label:
        yield f"{report.num_without_label} videos have no label"
    yield from (f"unreadable: {path}: {reason}" for path, reason in report.unreadable.items())
    yield from _first("damaged", [f"{path}: {' '.join(warnings)}" for path, warnings in report.damaged.items()])
    for match_type in ("same bytes", "near duplicate", "same scene"):
        pairs = [f"{pair.first} and {pair.second}" for pair in report.duplicates if pair.shared == match_type]
        yield from _first(match_type, pairs)
    yield from _first("leak", [f"{pair.first} and {pair.second}: {pair.shared}" for pair in report.leaks])
    if report.baselines is not None:
        baselines = report.baselines
        yield (
            f"baselines, predicted from other groups: metadata alone {baselines.metadata.accuracy:.3f},"
            f" nearest mean frame {baselines.mean_frame.accuracy:.3f},"
            f" most frequent label {baselines.majority.accuracy:.3f}"
        )
        verdict = baselines.verdict()
        if verdict is not None:
            yield verdict


def _first(kind: str, lines: Sequence[str]) -> Iterator[str]:
    yield from (f"{kind}: {line}" for line in lines[:_NUM_SHOWN])
    if len(lines) > _NUM_SHOWN:
        yield f"{kind}: {len(lines) - _NUM_SHOWN} more (--json lists all)"
