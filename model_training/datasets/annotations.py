"""The text of an annotation file -> rows. CSV, JSON lines, or the CSV and JSON that Kinetics comes with.

Knows nothing of which videos exist: `datasets` finds those.
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
# Kinetics' own words: a video without a path is found by its id, and a named split is a fold.
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
    """One annotated video, or a part of one, and `where` it stands: the file and the line.

    Either `path` (relative to the file) or `video_id` is given. `segment_seconds` is the half-open part
    of the video that is meant, None for all of it; `event_seconds` is where in it the label shows.
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
    """The rows of an annotation file, whose kind its ending tells: .csv, .jsonl or .json.

    Raises:
        TrainingDataError: it cannot be used; the message names the file and the line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrainingDataError(f"{file}: not a text in UTF-8: {error}") from error
    match file.suffix.lower():
        case ".csv":
            return list(_csv_rows(file, text))
        case ".jsonl":
            return list(_jsonl_rows(file, text))
        case ".json":
            return list(_kinetics_json_rows(file, text))
    raise TrainingDataError(f"{file}: an annotation file ends in .csv, .jsonl or .json")


def _csv_rows(file: Path, text: str) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = _known_names(f"{file}, line 1", reader.fieldnames or (), "column")
        for cells in reader:
            where = f"{file}, line {reader.line_num}"
            if None in cells or any(cell is None for cell in cells.values()):
                raise TrainingDataError(f"{where}: not as many cells as there are columns")
            yield _row(where, {columns[name]: cell.strip() for name, cell in cells.items() if name in columns})
    except csv.Error as error:
        raise TrainingDataError(f"{file}, line {reader.reader.line_num}: not CSV: {error}") from error


def _jsonl_rows(file: Path, text: str) -> Iterator[Row]:
    # Not splitlines(): a text may hold what that takes for the end of a line.
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
        raise TrainingDataError(f'{file}: not as Kinetics has it: {{id: {{"annotations": ..., "subset": ...}}}}')
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
    """What each used name of `given` means; names that are there to be ignored are left out."""
    known = (*_COLUMNS, "id", "split", *_KINETICS)
    for name in given:
        if name not in known and name not in _IGNORED:
            near = get_close_matches(name, known, n=1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            raise TrainingDataError(
                f"{where}: unknown {kind} {name!r}{meant}; known are {', '.join(_COLUMNS)}, and those of Kinetics"
            )
    names = {name: _KINETICS.get(name, name) for name in given if name not in _IGNORED}
    meanings = set(names.values())
    for needed in ({"label"}, {"path", "id"}):
        if not needed & meanings:
            raise TrainingDataError(
                f"{where}: lacks the {kind} {' or '.join(map(repr, sorted(needed, reverse=True)))}; of"
                f" {', '.join(_COLUMNS)} the first two are needed"
            )
    return names


def _row(where: str, cells: dict[str, Any]) -> Row:
    split = str(cells.get("split") or "").lower()
    if split and split not in _FOLD_OF_SPLIT:
        raise TrainingDataError(f"{where}: unknown split {split!r}; known are {', '.join(_FOLD_OF_SPLIT)}")
    fold = cells.get("fold")
    return Row(
        where=where,
        path=_text(where, "path", cells.get("path")),
        video_id=_text(where, "id", cells.get("id")),
        labels=_labels(where, cells["label"]),
        group=_text(where, "group", cells.get("group")),
        fold=_FOLD_OF_SPLIT.get(split) if fold in (None, "") else _whole_number(where, fold),
        segment_seconds=_interval(where, cells, ""),
        event_seconds=_interval(where, cells, "event_"),
    )


def _labels(where: str, cell: Any) -> tuple[str, ...]:
    """One label, several with `|` between them, or a JSON list of them, which may be empty."""
    if isinstance(cell, str):
        names: Any = _parsed(where, cell) if cell.startswith("[") else [name.strip() for name in cell.split("|")]
    else:
        names = cell
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TrainingDataError(f"{where}: a label is a text, several are a list of texts: {cell!r}")
    if not all(names):
        raise TrainingDataError(f"{where}: empty label")
    if len(set(names)) < len(names):
        raise TrainingDataError(f"{where}: a label is given twice: {cell!r}")
    return tuple(sorted(names))


def _interval(where: str, cells: dict[str, Any], prefix: str) -> tuple[float, float] | None:
    names = (f"{prefix}start_seconds", f"{prefix}end_seconds")
    given = [cells.get(name) for name in names]
    if all(value in (None, "") for value in given):
        return None
    if any(value in (None, "") for value in given):
        raise TrainingDataError(f"{where}: {names[0]} and {names[1]} are given together or not at all")
    try:
        start, end = (float(value) for value in given if value is not None)
    except (TypeError, ValueError, OverflowError) as error:
        raise TrainingDataError(f"{where}: not a number: {error}") from error
    if not 0 <= start < end < float("inf"):
        raise TrainingDataError(f"{where}: {names[0]} {start:g} and {names[1]} {end:g} are no interval")
    return start, end


def _whole_number(where: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    # In JSON 1.0 is whole, but 1.7 is not, nor is what `int` makes of true.
    if number is None or isinstance(value, bool) or (isinstance(value, float) and number != value):
        raise TrainingDataError(f"{where}: the fold is not a whole number: {value!r}")
    return number


def _text(where: str, name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TrainingDataError(f"{where}: {name} is not a text: {value!r}")
    return value
