"""Parses annotation files into rows: CSV, JSON lines, and the CSV and JSON of Kinetics.

Does not check that the videos exist; `examples` does.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from model_training.errors import TrainingDataError

_COLUMNS = (
    "path",
    "label",
    "group",
    "fold",
    "start_seconds",
    "end_seconds",
    "event_start_seconds",
    "event_end_seconds",
)
# Column names of Kinetics. A video without a path is found by its id, and a named split becomes a fold.
_KINETICS = {
    "labels": "label",
    "youtube_id": "id",
    "video_id": "id",
    "time_start": "start_seconds",
    "time_end": "end_seconds",
    "subset": "split",
}
_IGNORED = frozenset({"is_cc", "url", "duration"})
_FOLD_OF_SPLIT = {
    "train": 0,
    "training": 0,
    "val": 1,
    "validate": 1,
    "validation": 1,
    "test": 2,
    "testing": 2,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One annotated video, or one segment of it. `where` is the annotation file and line.

    Either `path` (relative to the file) or `video_id` is not empty. `segment_seconds` is the half-open part
    of the video to use, None for all of it. `event_seconds` is the part in which the label is visible.
    """

    where: str
    path: str
    video_id: str
    labels: tuple[str, ...]
    group: str
    fold: int | None
    segment_seconds: tuple[float, float] | None
    event_seconds: tuple[float, float] | None


def read_rows(file: Path) -> list[Row]:
    """Parse an annotation file: .csv, .jsonl or .json.

    Raises:
        TrainingDataError: the file is invalid; the message names the file and the line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrainingDataError(f"{file}: not UTF-8 text: {error}") from error
    match file.suffix.lower():
        case ".csv":
            return list(_csv_rows(file, text))
        case ".jsonl":
            return list(_jsonl_rows(file, text))
        case ".json":
            return list(_kinetics_json_rows(file, text))
    raise TrainingDataError(f"{file}: not an annotation file: the name must end in .csv, .jsonl or .json")


def _csv_rows(file: Path, text: str) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = _known_names(f"{file}, line 1", reader.fieldnames or (), "column")
        for cells in reader:
            where = f"{file}, line {reader.line_num}"
            if None in cells or any(cell is None for cell in cells.values()):
                raise TrainingDataError(f"{where}: the number of cells differs from the number of columns")
            yield _row(where, {columns[name]: cell.strip() for name, cell in cells.items() if name in columns})
    except csv.Error as error:
        raise TrainingDataError(f"{file}, line {reader.reader.line_num}: not CSV: {error}") from error


def _jsonl_rows(file: Path, text: str) -> Iterator[Row]:
    # Not splitlines(): it also splits at characters that JSON strings may contain.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        cells = _parsed(where, line)
        if not isinstance(cells, dict):
            raise TrainingDataError(f"{where}: not a JSON object")
        names = _known_names(where, list(cells), "key")
        yield _row(where, {names[name]: value for name, value in cells.items() if name in names})


def _kinetics_json_rows(file: Path, text: str) -> Iterator[Row]:
    """Rows of `{id: {"annotations": {"label": ..., "segment": [start, end]}, "subset": ...}}`."""
    videos = _parsed(str(file), text)
    if not isinstance(videos, dict) or not all(isinstance(video, dict) for video in videos.values()):
        raise TrainingDataError(f'{file}: not in the format of Kinetics: {{id: {{"annotations": ..., "subset": ...}}}}')
    for video_id, video in videos.items():
        where = f"{file}, video {video_id!r}"
        annotations = video.get("annotations")
        if not isinstance(annotations, dict) or "label" not in annotations:
            raise TrainingDataError(f'{where}: no "annotations" with a "label"')
        segment = annotations.get("segment") or (None, None)
        if not isinstance(segment, list | tuple) or len(segment) != 2:  # noqa: PLR2004 - a start and an end
            raise TrainingDataError(f'{where}: "segment" is not [start, end]')
        cells = {name: value for name, value in video.items() if name != "annotations"}
        names = _known_names(where, [*cells, "video_id", "label"], "key")
        cells = {names[name]: value for name, value in cells.items() if name in names}
        cells |= {"id": video_id, "label": annotations["label"]}
        yield _row(where, cells | {"start_seconds": segment[0], "end_seconds": segment[1]})


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TrainingDataError(f"{where}: not JSON: {error}") from error


def _known_names(where: str, given: Any, kind: str) -> dict[str, str]:
    """Map each name of `given` to our column name; ignored names are left out."""
    known = (*_COLUMNS, "id", "split", *_KINETICS)
    for name in given:
        if name not in known and name not in _IGNORED:
            near = get_close_matches(name, known, n=1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            raise TrainingDataError(
                f"{where}: unknown {kind} {name!r}{meant}; known names: {', '.join(_COLUMNS)} and Kinetics' own"
            )
    names = {name: _KINETICS.get(name, name) for name in given if name not in _IGNORED}
    meanings = set(names.values())
    for needed in ({"label"}, {"path", "id"}):
        if not needed & meanings:
            raise TrainingDataError(
                f"{where}: the {kind} {' or '.join(map(repr, sorted(needed, reverse=True)))} is missing; known names:"
                f" {', '.join(_COLUMNS)}, of which the first two are required"
            )
    return names


def _row(where: str, cells: dict[str, Any]) -> Row:
    split = str(cells.get("split") or "").lower()
    if split and split not in _FOLD_OF_SPLIT:
        raise TrainingDataError(f"{where}: unknown split {split!r}; known splits: {', '.join(_FOLD_OF_SPLIT)}")
    fold = cells.get("fold")
    return Row(
        where=where,
        path=_text(where, "path", cells.get("path")),
        video_id=_text(where, "id", cells.get("id")),
        labels=_labels(where, cells["label"]),
        group=_text(where, "group", cells.get("group")),
        fold=_FOLD_OF_SPLIT.get(split) if fold in (None, "") else _integer(where, fold),
        segment_seconds=_interval(where, cells, ""),
        event_seconds=_interval(where, cells, "event_"),
    )


def _labels(where: str, cell: Any) -> tuple[str, ...]:
    """Parse one label, several separated by `|`, or a JSON list of labels, which may be empty."""
    if isinstance(cell, str):
        names: Any = _parsed(where, cell) if cell.startswith("[") else [name.strip() for name in cell.split("|")]
    else:
        names = cell
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TrainingDataError(f"{where}: not a label or a list of labels: {cell!r}")
    if not all(names):
        raise TrainingDataError(f"{where}: empty label")
    if len(set(names)) < len(names):
        raise TrainingDataError(f"{where}: a label is repeated: {cell!r}")
    return tuple(sorted(names))


def _interval(where: str, cells: dict[str, Any], prefix: str) -> tuple[float, float] | None:
    names = (f"{prefix}start_seconds", f"{prefix}end_seconds")
    given = [cells.get(name) for name in names]
    if all(value in (None, "") for value in given):
        return None
    if any(value in (None, "") for value in given):
        raise TrainingDataError(f"{where}: {names[0]} and {names[1]} must be given together")
    try:
        start, end = (float(value) for value in given if value is not None)
    except (TypeError, ValueError, OverflowError) as error:
        raise TrainingDataError(f"{where}: not a number: {error}") from error
    if not 0 <= start < end < float("inf"):
        raise TrainingDataError(
            f"{where}: {names[0]} {start:g} must be less than {names[1]} {end:g}; both must be finite and at least 0"
        )
    return start, end


def _integer(where: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    # JSON 1.0 is an integer; 1.7 and true are not.
    if number is None or isinstance(value, bool) or (isinstance(value, float) and number != value):
        raise TrainingDataError(f"{where}: the fold is not an integer: {value!r}")
    return number


def _text(where: str, name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TrainingDataError(f"{where}: {name} is not a string: {value!r}")
    return value
