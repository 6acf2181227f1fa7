"""Output, progress bars, connection and exit status of the commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TransferSpeedColumn

from framewise.cli.chart import prediction_chart
from framewise.client import Client, ProblemError, ServiceUnreachable
from framewise.client.multipart import OnProgress
from framewise.schemas.jobs import Job, JobEvent
from framewise.schemas.prediction import Prediction

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class ExitStatus(IntEnum):
    """Exit status of a command. Typer exits with 2 on a usage error."""

    OK = 0
    REFUSED = 1
    UNREACHABLE = 3


class JobNotDone(Exception):
    """The job has no result: it was cancelled or has not ended."""


@contextmanager
def connect(url: str, api_key: str | None) -> Iterator[Client]:
    """A connected client. An error inside the context is printed and ends the command with its exit status."""
    try:
        with Client(url, api_key=api_key) as client:
            yield client
    except ServiceUnreachable as error:
        print_error(str(error))
        raise typer.Exit(ExitStatus.UNREACHABLE) from error
    except ProblemError as error:
        print_error(str(error))
        raise typer.Exit(ExitStatus.REFUSED) from error


def print_error(text: str) -> None:
    """Print an error message on standard error."""
    err.print(text, style="red", markup=False, soft_wrap=True)


def print_prediction(name: str, prediction: Prediction) -> None:
    """Draw the prediction under the name of its file or job."""
    out.print(f"\n{name}", style="bold", markup=False)
    out.print(prediction_chart(prediction, min(out.width - 4, 96)))


@contextmanager
def upload_progress(path: Path, next_step: str) -> Iterator[OnProgress]:
    """A progress callback for an upload, drawn as a bar on a terminal; shows `next_step` when all bytes are sent."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(path.name, total=None)

        def update(num_sent: int, num_bytes: int) -> None:
            description = f"{path.name}: {next_step}" if num_sent == num_bytes else path.name
            progress.update(task, completed=num_sent, total=num_bytes, description=description)

        yield update


def wait_for_job(client: Client, job_id: str, name: str) -> Job:
    """Wait until the job has ended and return it; its progress is drawn as a bar on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("clips"))
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(name, total=None)

        def update(event: JobEvent) -> None:
            done, total = (event.progress.num_clips_done, event.progress.num_clips) if event.progress else (0, None)
            progress.update(task, completed=done, total=total, description=f"{name}: {event.state}")

        return client.wait_for_job(job_id, update)


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
