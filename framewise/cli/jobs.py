"""`framewise jobs`: submits videos as jobs and manages the jobs."""

import sys
from typing import Annotated

import typer
from rich.table import Column, Table

from framewise.cli.options import ApiKey, AsJson, Model, Url, Version, Videos
from framewise.cli.terminal import (
    ExitStatus,
    JobNotDone,
    connect,
    job_result,
    out,
    print_error,
    print_prediction,
    upload_progress,
    wait_for_job,
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
    model: Model = None,
    version: Version = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Submitting the same file again with the same key returns the same job.")
    ] = None,
) -> None:
    """Submit each video as a job, and print one job id per line."""
    if idempotency_key is not None and len(files) > 1:
        raise typer.BadParameter("--idempotency-key accepts a single file")
    status = ExitStatus.OK
    with connect(url, api_key) as client:
        for path in files:
            try:
                with upload_progress(path, "waiting for the job's id") as update:
                    job = client.submit_job(
                        path, idempotency_key=idempotency_key, on_progress=update, model=model, version=version
                    )
            except (ProblemError, OSError) as error:
                print_error(f"{path}: {error}")
                status = ExitStatus.REFUSED
                continue
            sys.stdout.write(f"{job.id}\n")
    raise typer.Exit(status)


@app.command("list")
def list_jobs(
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Maximum number of jobs.")] = 50,
    after: Annotated[str | None, typer.Option(help="Last id of the previous page, to list older jobs.")] = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, latest first."""
    with connect(url, api_key) as client:
        page = client.jobs(state=state, limit=limit, after=after)
    if as_json:
        sys.stdout.writelines(f"{job.model_dump_json()}\n" for job in page.jobs)
        return
    # A truncated id would be useless.
    id_column = Column("id", min_width=max((len(job.id) for job in page.jobs), default=0))
    table = Table(id_column, "state", "clips", "created", "bytes", box=None, header_style="dim")
    for job in page.jobs:
        table.add_row(job.id, job.state, _clip_counts(job), job.created_at, f"{job.upload.num_bytes:,}")
    out.print(table)
    if page.next is not None:
        out.print(f"There are more: --after {page.next}", style="dim")


@app.command()
def show(job_id: JobId, *, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Show a job: its state and progress, or its result once it is done."""
    with connect(url, api_key) as client:
        _print_job(client.job(job_id), as_json=as_json)


@app.command()
def watch(job_id: JobId, *, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Wait until a job has ended, and show it; the exit status is 1 unless the job is done."""
    with connect(url, api_key) as client:
        job = wait_for_job(client, job_id, job_id)
    _print_job(job, as_json=as_json)
    raise typer.Exit(ExitStatus.OK if job.state == "done" else ExitStatus.REFUSED)


@app.command()
def cancel(job_id: JobId, *, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Cancel a job, or remove a job that has ended together with its result."""
    with connect(url, api_key) as client:
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
