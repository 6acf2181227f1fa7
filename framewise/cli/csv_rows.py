"""A prediction as CSV, one row per listed frame, and one row for a file without frames."""

import csv
import io
from collections.abc import Sequence

from framewise.schemas.prediction import Prediction

COLUMNS = ("file", "label", "probability", "accepted", "clip", "index", "time_seconds", "attention", "problem")


def header_text() -> str:
    """The row of column names."""
    return _csv_text([COLUMNS])


def prediction_text(name: str, prediction: Prediction) -> str:
    """The rows of the frames of `prediction`; each row repeats the file's name, label and probability."""
    decision = prediction.prediction
    cells = (name, decision.label, decision.probability, str(decision.accepted).lower())
    rows = [(*cells, frame.clip, frame.index, frame.time_seconds, frame.attention, "") for frame in prediction.frames]
    return _csv_text(rows or [(*cells, "", "", "", "", "")])


def failure_text(name: str, code: str) -> str:
    """The row of a file without a prediction: its name and the code of the problem."""
    return _csv_text([(name, *[""] * (len(COLUMNS) - 2), code)])


def _csv_text(rows: Sequence[tuple[object, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
