"""The command `framewise`: ask a running service about videos.

Exit status:
    0  every question was answered
    1  the service said no, a job was not answered, or a file cannot be read; the others were asked all the same
    2  the command line is wrong
    3  no service answers at that address
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from framewise.cli import jobs as job_commands
from framewise.cli.csv_rows import csv_text
from framewise.cli.terminal import (
    ApiKey,
    AsJson,
    Exit,
    JobNotDone,
    Model,
    Url,
    Version,
    Videos,
    complain,
    connected,
    ended_job,
    out,
    result_of,
    show_prediction,
    upload_shown,
)
from framewise.client import DEFAULT_URL, Client, ProblemError
from framewise.schemas.prediction import Prediction, Validation

app = typer.Typer(
    help="Ask a running service what videos show, and when.",
    epilog="Exit status: 0 answered, 1 the service said no, 2 wrong usage, 3 no service answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(job_commands.app, name="jobs")

Video = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


@app.command()
def predict(
    files: Videos,
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: Model = None,
    version: Version = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One line per frame looked at.")] = False,
    as_jobs: Annotated[
        bool, typer.Option("--jobs", help="Send them as jobs, for videos longer than the service answers at once.")
    ] = False,
) -> None:
    """Say what each video shows, how sure that is, and which moments drew attention."""
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    status = Exit.OK
    with connected(url, api_key) as client:
        for number, path in enumerate(files):
            try:
                prediction = (ask_later if as_jobs else ask)(client, path, model, version)
            except (ProblemError, JobNotDone, OSError) as error:
                complain(f"{path}: {error}")
                status = Exit.REFUSED
                continue
            if as_json:
                sys.stdout.write(prediction.model_dump_json() + "\n")
            elif as_csv:
                sys.stdout.write(csv_text(path, prediction, with_header=number == 0))
            else:
                show_prediction(str(path), prediction)
    raise typer.Exit(status)


@app.command()
def validate(
    files: Videos,
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: Model = None,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Say whether each video can be read, what would be looked at, and what that would cost."""
    status = Exit.OK
    with connected(url, api_key) as client:
        for path in files:
            try:
                with upload_shown(path, "being read") as show:
                    validation = client.validate(path, on_progress=show, model=model, version=version)
            except (ProblemError, OSError) as error:
                complain(f"{path}: {error}")
                status = Exit.REFUSED
                continue
            if as_json:
                sys.stdout.write(validation.model_dump_json() + "\n")
            else:
                _show_validation(path, validation)
    raise typer.Exit(status)


@app.command()
def models(*, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """List the models that may be asked; the star marks the default."""
    table = Table("model", "labels", "description", box=None, header_style="dim")
    with connected(url, api_key) as client:
        for model in client.models().models:
            star = "*" if model.is_default else " "
            table.add_row(f"{star} {model.name}/{model.version}", ", ".join(model.labels), model.description)
    out.print(table)


@app.command()
def health(*, url: Url = DEFAULT_URL) -> None:
    """Say whether the service is ready, and each of its models; the exit status is 1 if it is not."""
    with connected(url, None) as client:
        found = client.health()
    out.print(found.state, found.detail or "", style="bold green" if found.state == "ready" else "bold yellow")
    for model in found.models:
        out.print(f"  {model.name}/{model.version}  {model.state}  {model.detail or ''}", markup=False)
    raise typer.Exit(Exit.OK if found.state == "ready" else Exit.REFUSED)


@app.command()
def annotate(
    file: Video,
    target: Annotated[Path, typer.Argument(metavar="OUT", dir_okay=False, writable=True, help="The .mp4 to write.")],
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: Model = None,
    version: Version = None,
) -> None:
    """Write the video anew, with label, probability and attention drawn into it."""
    if target.suffix != ".mp4":
        raise typer.BadParameter(f"{target} does not end in .mp4")
    # Decoder and drawing are needed by this command alone.
    from framewise.cli.annotate import annotate_video  # noqa: PLC0415

    with connected(url, api_key) as client:
        prediction = ask(client, file, model, version)
    try:
        num_frames = annotate_video(file, target, prediction)
    except OSError as error:
        complain(f"{file}: {error}")
        raise typer.Exit(Exit.REFUSED) from error
    out.print(f"{target}: {num_frames} frames", markup=False)


def ask(client: Client, path: Path, model: str | None = None, version: str | None = None) -> Prediction:
    """The service's answer, waited for on the connection that sent the video."""
    with upload_shown(path, "waiting for the answer") as show:
        return client.predict(path, on_progress=show, model=model, version=version)


def ask_later(client: Client, path: Path, model: str | None = None, version: str | None = None) -> Prediction:
    """The service's answer, of a job that may outlast any connection.

    Raises:
        JobNotDone: somebody cancelled it.
    """
    with upload_shown(path, "waiting for the job's id") as show:
        job = client.submit_job(path, on_progress=show, model=model, version=version)
    return result_of(ended_job(client, job.id, path.name))


def _show_validation(path: Path, validation: Validation) -> None:
    video, cost = validation.video, validation.cost
    out.print(f"\n{path}", style="bold", markup=False)
    out.print(f"  {video.container}, {video.codec}, {video.width} x {video.height}, {video.duration_seconds:.2f} s")
    out.print(f"  {video.num_frames_sampled} frames in {cost.num_clips} clips would be looked at")
    out.print(f"  about {cost.model_seconds:.2f} s of the model {validation.model.name}/{validation.model.version}")
    for warning in validation.warnings:
        out.print(f"  ! {warning.message}", style="yellow", markup=False)
