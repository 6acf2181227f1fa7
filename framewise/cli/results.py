"""Writes the outcome of each video: as a chart, a line, JSON or CSV."""

import json
from collections.abc import Callable, Iterable
from typing import TextIO, TypeVar

from framewise.cli.csv_rows import failure_text, header_text, prediction_text
from framewise.cli.each_file import Failure, Outcome
from framewise.cli.progress_bars import ProgressBars
from framewise.cli.terminal import ExitStatus, print_error, print_prediction
from framewise.schemas.prediction import Prediction
from framewise.schemas.wire import Wire

WriteOutcome = Callable[[str, Prediction | None, Failure | None], None]
"""Called with the name of a file, and with its prediction or its failure."""


_Value = TypeVar("_Value")


def write_outcomes(
    outcomes: Iterable[Outcome[_Value]],
    bars: ProgressBars,
    write: Callable[[str, _Value | None, Failure | None], object],
) -> ExitStatus:
    """Write each outcome and print each failure, with the bars hidden; returns the worst exit status."""
    status = ExitStatus.OK
    for outcome in outcomes:
        name, failure = outcome.file.name, outcome.failure
        with bars.hidden():
            write(name, outcome.value, failure)
            if failure is not None:
                print_error(f"{name}: {failure.message}")
                status = max(status, failure.exit_status)
    return status


def json_line(name: str, key: str, value: Wire | None, failure: Failure | None) -> str:
    """A line of ASCII JSON: the file, the fields of `value` or null under `key`, and the problem or null."""
    problem = None if failure is None else failure.to_dict()
    return json.dumps({"file": name, **({key: None} if value is None else value.to_dict()), "problem": problem}) + "\n"


def outcome_writer(stream: TextIO, form: str, *, is_standard_output: bool) -> WriteOutcome:
    """The function that writes outcomes to `stream` in the form `json`, `csv`, `line` or `chart`."""

    def write_json(name: str, prediction: Prediction | None, failure: Failure | None) -> None:
        stream.write(json_line(name, "prediction", prediction, failure))

    def write_csv(name: str, prediction: Prediction | None, failure: Failure | None) -> None:
        if prediction is not None:
            stream.write(prediction_text(name, prediction))
        elif failure is not None:
            stream.write(failure_text(name, failure.code))

    def write_line(name: str, prediction: Prediction | None, _failure: Failure | None) -> None:
        if prediction is not None:
            decision = prediction.prediction
            mark = "" if decision.accepted else "  below the threshold"
            stream.write(f"{name}: {decision.label} {decision.probability:.1%}{mark}\n")

    def draw_chart(name: str, prediction: Prediction | None, _failure: Failure | None) -> None:
        if prediction is not None:
            print_prediction(name, prediction, None if is_standard_output else stream)

    if form == "csv":
        stream.write(header_text())
    return {"json": write_json, "csv": write_csv, "line": write_line, "chart": draw_chart}[form]
