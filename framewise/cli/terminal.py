"""Output, connection and exit status of the commands."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NoReturn, TextIO

import typer
from rich.console import Console
from rich.table import Table

from framewise.cli.chart import GLYPHS, prediction_chart
from framewise.client import Client, ProblemError, ServiceUnreachable
from framewise.client.errors import InvalidArgument
from framewise.schemas.jobs import Job
from framewise.schemas.prediction import Prediction

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
_MAX_COLUMNS = 1 << 20


class ExitStatus(IntEnum):
    """Exit status of a command. Typer exits with 2 on a usage error."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


class JobNotDone(Exception):
    """The job has no result: it was cancelled or has not ended."""


def open_standard_streams() -> None:
    """Make every character printable in any encoding of standard output, and open the streams that are closed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - as long as the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def connect(url: str, api_key: str | None, timeout: float | None = None) -> Iterator[Client]:
    """A client. An error inside the context is printed and ends the command with its exit status."""
    try:
        with Client(url, api_key=api_key, timeout=timeout) as client:
            yield client
    except InvalidArgument as error:
        print_error(str(error))
        raise typer.Exit(ExitStatus.USAGE) from error
    except ServiceUnreachable as error:
        print_error(str(error))
        raise typer.Exit(ExitStatus.UNREACHABLE) from error
    except (ProblemError, TimeoutError) as error:
        print_error(str(error))
        raise typer.Exit(ExitStatus.REFUSED) from error


def refuse(text: str) -> NoReturn:
    """Print why the command line cannot be followed, and end the command with status 2."""
    print_error(text)
    raise typer.Exit(ExitStatus.USAGE)


def print_error(text: str) -> None:
    """Print an error message on standard error."""
    err.print(text, style="red", markup=False, soft_wrap=True)


def print_table(table: Table) -> None:
    """Print a table on standard output. No cell is cut; on a terminal, texts are wrapped where there is no room."""
    for column in table.columns:
        column.overflow = "fold"
        column.no_wrap = not out.is_terminal
    needed = out.measure(table, options=out.options.update(max_width=_MAX_COLUMNS))
    width = max(out.width, needed.minimum if out.is_terminal else needed.maximum)
    Console(highlight=False, width=width).print(table)


def print_prediction(name: str, prediction: Prediction, stream: TextIO | None = None) -> None:
    """Draw the prediction under the name of its file or job, on standard output by default."""
    console = out if stream is None else Console(file=stream, highlight=False, width=100)
    console.print(f"\n{name}", style="bold", markup=False, soft_wrap=True)
    num_columns = min(console.width - 4, 96)
    console.print(prediction_chart(prediction, num_columns, is_ascii=needs_ascii(console)))


def job_result(job: Job) -> Prediction:
    """The prediction of a job.

    Raises:
        ProblemError: the job has failed.
        JobNotDone: the job was cancelled or has not ended.
    """
    if job.problem is not None:
        raise ProblemError(job.problem)
    if job.result is None:
        raise JobNotDone(f"The job {job.id} is {job.state}.")
    return job.result


def needs_ascii(console: Console) -> bool:
    """Whether the encoding of the console lacks characters of a chart."""
    try:
        GLYPHS.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return True
    return False
