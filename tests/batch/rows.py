"""Rows of a batch."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from framewise.schemas.prediction import Prediction
from framewise.schemas.problem import Problem
from service.batch.rows import Row


def problem(code: str) -> Problem:
    """A problem with this code."""
    return Problem(title="Title", status=422, detail="Detail", code=code, request_id="1")


def row(file: str, prediction: Prediction | None = None) -> Row:
    """A row with the prediction, or with a problem by default."""
    found = None if prediction is not None else problem("unreadable_video")
    return Row(file=file, num_bytes=1, sha256="00", prediction=prediction, problem=found)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of the parts in `folder`, in the order of writing."""
    rows: list[dict[str, Any]] = []
    for part in sorted(folder.glob("part-*"), key=lambda part: part.stat().st_mtime_ns):
        if part.suffix == ".parquet":
            rows += pq.read_table(part).to_pylist()
        else:
            rows += [json.loads(line) for line in part.read_text().splitlines()]
    return rows
