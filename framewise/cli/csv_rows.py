"""An answer as lines of a table: one per frame looked at."""

import csv
import io
from pathlib import Path

from framewise.schemas.prediction import Prediction

COLUMNS = ("file", "label", "probability", "accepted", "clip", "index", "time_seconds", "attention")


def csv_text(path: Path, prediction: Prediction, *, with_header: bool) -> str:
    """Lines of CSV for the frames of `prediction`, the file's own answer repeated on each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if with_header:
        writer.writerow(COLUMNS)
    decision = prediction.prediction
    for frame in prediction.frames:
        answer = (decision.label, decision.probability, str(decision.accepted).lower())
        writer.writerow((path, *answer, frame.clip, frame.index, frame.time_seconds, frame.attention))
    return text.getvalue()
