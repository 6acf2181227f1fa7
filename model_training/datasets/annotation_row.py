"""Parses the cells of one annotated video into a row."""

import json
from dataclasses import dataclass
from typing import Any

from model_training.errors import TrainingDataError

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


def row_of(where: str, cells: dict[str, Any]) -> Row:
    """Parse the cells of a video, given by column name.

    Raises:
        TrainingDataError: a cell is invalid; the message starts with `where`.
    """
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
        names: Any = parse_json(where, cell) if cell.startswith("[") else [name.strip() for name in cell.split("|")]
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


def parse_json(where: str, text: str) -> Any:
    """Parse JSON.

    Raises:
        TrainingDataError: `text` is not JSON; the message starts with `where`.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TrainingDataError(f"{where}: not JSON: {error}") from error
