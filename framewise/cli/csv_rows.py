"""A prediction as CSV, one row per sampled frame."""

import csv
import io
from pathlib import Path

from framewise.schemas.prediction import Prediction

COLUMNS = ("file", "label", "probability", "accepted", "clip", "index", "time_seconds", "attention")


def csv_text(path: Path, prediction: Prediction, *, with_header: bool) -> str:
    """CSV rows of the frames of `prediction`; each row repeats the file's label and probability."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if with_header:
        writer.writerow(COLUMNS)
    decision = prediction.prediction
    for frame in prediction.frames:
        decision_cells = (decision.label, decision.probability, str(decision.accepted).lower())
        writer.writerow((path, *decision_cells, frame.clip, frame.index, frame.time_seconds, frame.attention))
    return text.getvalue()
