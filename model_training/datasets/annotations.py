"""Parses annotation files into rows: CSV, JSON lines, and the CSV and JSON of Kinetics.

Does not check that the videos exist; `examples` does.
"""

import csv
import io
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from model_training.datasets.annotation_row import Row, parse_json, row_of
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
            yield row_of(where, {columns[name]: cell.strip() for name, cell in cells.items() if name in columns})
    except csv.Error as error:
        raise TrainingDataError(f"{file}, line {reader.reader.line_num}: not CSV: {error}") from error


def _jsonl_rows(file: Path, text: str) -> Iterator[Row]:
    # Not splitlines(): it also splits at characters that JSON strings may contain.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        cells = parse_json(where, line)
        if not isinstance(cells, dict):
            raise TrainingDataError(f"{where}: not a JSON object")
        names = _known_names(where, list(cells), "key")
        yield row_of(where, {names[name]: value for name, value in cells.items() if name in names})


def _kinetics_json_rows(file: Path, text: str) -> Iterator[Row]:
    """Rows of `{id: {"annotations": {"label": ..., "segment": [start, end]}, "subset": ...}}`."""
    videos = parse_json(str(file), text)
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
        yield row_of(where, cells | {"start_seconds": segment[0], "end_seconds": segment[1]})


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
