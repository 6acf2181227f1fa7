"""What every command of `framewise` shares: how it connects, what it writes to, and how it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated

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


class Exit(IntEnum):
    """What the exit status says; 2 is given by the command line's parser."""

    OK = 0
    REFUSED = 1
    UNREACHABLE = 3


Url = Annotated[str, typer.Option(envvar="FRAMEWISE_URL", help="Address of the service.")]
ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="FRAMEWISE_API_KEY",
        help="Key, where the service asks for one; in the environment other users of the machine do not see it.",
    ),
]
Model = Annotated[str | None, typer.Option(help="Name of the model; default: the service's default model.")]
Version = Annotated[str | None, typer.Option(help="Version of the model; default: its latest.")]
Videos = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


@contextmanager
def connected(url: str, api_key: str | None) -> Iterator[Client]:
    """A client whose failures end the command with the status that says so."""
    try:
        with Client(url, api_key=api_key) as client:
            yield client
    except ServiceUnreachable as error:
        complain(str(error))
        raise typer.Exit(Exit.UNREACHABLE) from error
    except ProblemError as error:
        complain(str(error))
        raise typer.Exit(Exit.REFUSED) from error


def complain(text: str) -> None:
    """Say what went wrong, where it does not mix with answers."""
    err.print(text, style="red", markup=False, soft_wrap=True)


@contextmanager
def upload_shown(path: Path, then: str) -> Iterator[OnProgress]:
    """What to tell an upload's progress to; shown where someone is looking, and `then` once all is sent."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(path.name, total=None)

        def show(num_sent: int, num_bytes: int) -> None:
            description = f"{path.name}: {then}" if num_sent == num_bytes else path.name
            progress.update(task, completed=num_sent, total=num_bytes, description=description)

        yield show


def ended_job(client: Client, job_id: str, name: str) -> Job:
    """The job once it has ended, its progress shown meanwhile where someone is looking."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("clips"))
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(name, total=None)

        def show(event: JobEvent) -> None:
            done, total = (event.progress.num_clips_done, event.progress.num_clips) if event.progress else (0, None)
            progress.update(task, completed=done, total=total, description=f"{name}: {event.state}")

        return client.wait_for_job(job_id, show)


def result_of(job: Job) -> Prediction:
    """What the job found.

    Raises:
        ProblemError: it has failed.
        JobNotDone: it was cancelled, or has not ended.
    """
    if job.problem is not None:
        raise ProblemError(job.problem)
    if job.result is None:
        raise JobNotDone(f"The job {job.id} is {job.state}.")
    return job.result


class JobNotDone(Exception):
    """The job has no result: it was cancelled, or has not ended."""


def show_prediction(name: str, prediction: Prediction) -> None:
    """Draw the answer under its file's name."""
    out.print(f"\n{name}", style="bold", markup=False)
    out.print(prediction_chart(prediction, min(out.width - 4, 96)))
