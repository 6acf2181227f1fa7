"""`framewise jobs`: submits videos as jobs and manages the jobs."""

import sys
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from framewise.cli.each_file import Failure, each_outcome
from framewise.cli.files import InputFile, input_files
from framewise.cli.options import (
    ApiKey,
    AsJson,
    Concurrency,
    Deadline,
    Frames,
    Model,
    Quiet,
    Threshold,
    Timeout,
    TopK,
    Url,
    Version,
    Videos,
)
from framewise.cli.progress_bars import ProgressBars
from framewise.cli.results import json_line, write_outcomes
from framewise.cli.terminal import (
    ExitStatus,
    JobNotDone,
    connect,
    job_result,
    out,
    print_error,
    print_prediction,
    print_table,
)
from framewise.client import DEFAULT_URL, ProblemError
from framewise.schemas.jobs import Job, JobState, JobSummary

app = typer.Typer(help="Submit videos as jobs, and list, show, watch and cancel jobs.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="Id of the job, as printed by `jobs submit`.")]


@app.command()
def submit(
    files: Videos,
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = None,
    model: Model = None,
    version: Version = None,
    top_k: TopK = None,
    threshold: Threshold = None,
    frames: Frames = None,
    deadline: Deadline = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Submitting the same file again with the same key returns the same job.")
    ] = None,
    as_json: AsJson = False,
    concurrency: Concurrency = 1,
    quiet: Quiet = False,
) -> None:
    """Submit each video as a job, and print one job id per line; with --json one line per file."""
    videos = input_files(files)
    if idempotency_key is not None and len(videos) > 1:
        raise typer.BadParameter("--idempotency-key accepts a single file")
    bars = ProgressBars(is_quiet=quiet)
    with connect(url, api_key, timeout) as client:

        def submit_one(file: InputFile) -> Job:
            with bars.upload(file.name, "waiting for the job's id") as update:
                return client.submit_job(
                    file.source,
                    idempotency_key=idempotency_key,
                    on_progress=update,
                    timeout=timeout,
                    model=model,
                    version=version,
                    top_k=top_k,
                    threshold=threshold,
                    frames=frames,
                    deadline_seconds=deadline,
                )

        def write(name: str, job: Job | None, failure: Failure | None) -> None:
            if as_json:
                sys.stdout.write(json_line(name, "id", job, failure))
            elif job is not None:
                sys.stdout.write(f"{job.id}\n")

        status = write_outcomes(each_outcome(videos, submit_one, concurrency), bars, write)
    raise typer.Exit(status)


@app.command("list")
def list_jobs(
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = None,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Maximum number of jobs.")] = 50,
    after: Annotated[str | None, typer.Option(help="Last id of the previous page, to list older jobs.")] = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, latest first."""
    with connect(url, api_key, timeout) as client:
        page = client.jobs(state=state, limit=limit, after=after)
    if as_json:
        sys.stdout.writelines(f"{job.model_dump_json()}\n" for job in page.jobs)
        return
    rows = [
        (job.id, job.state, _clip_counts(job), job.created_at, f"{job.upload.num_bytes:,}", job.upload.file_name or "")
        for job in page.jobs
    ]
    # A cut id or number would be wrong; a narrow terminal wraps the names.
    *columns, _ = (
        Column(name, min_width=max((len(row[index]) for row in rows), default=0))
        for index, name in enumerate(("id", "state", "clips", "created", "bytes", "file"))
    )
    columns[4].justify = "right"
    table = Table(*columns, Column("file", min_width=8), box=None, header_style="dim")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    print_table(table)
    if page.next is not None:
        out.print(f"There are more: --after {page.next}", style="dim")


@app.command()
def show(
    job_id: JobId, *, url: Url = DEFAULT_URL, api_key: ApiKey = None, timeout: Timeout = None, as_json: AsJson = False
) -> None:
    """Show a job: its state and progress, or its result once it is done."""
    with connect(url, api_key, timeout) as client:
        _print_job(client.job(job_id), as_json=as_json)


@app.command()
def watch(
    job_id: JobId,
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="SECONDS", help="Longest wait for the end of the job; default: a day."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Wait until a job has ended, and show it; the exit status is 1 unless the job is done."""
    with connect(url, api_key) as client:
        job = ProgressBars(is_quiet=quiet).wait_for_job(client, job_id, job_id, timeout)
    _print_job(job, as_json=as_json)
    raise typer.Exit(ExitStatus.OK if job.state == "done" else ExitStatus.REFUSED)


@app.command()
def cancel(job_id: JobId, *, url: Url = DEFAULT_URL, api_key: ApiKey = None, timeout: Timeout = None) -> None:
    """Cancel a job, or remove a job that has ended together with its result."""
    with connect(url, api_key, timeout) as client:
        job = client.cancel_job(job_id)
    out.print("removed" if job is None else job.state)


def _print_job(job: Job, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(f"{job.model_dump_json()}\n")
        return
    try:
        print_prediction(job.id, job_result(job))
    except ProblemError as error:
        print_error(f"{job.id}: {error}")
    except JobNotDone:
        out.print(f"{job.id}  {job.state}  {_clip_counts(job)}".rstrip(), markup=False)


def _clip_counts(job: JobSummary) -> str:
    return "" if job.progress is None else f"{job.progress.num_clips_done}/{job.progress.num_clips}"
