"""`framewise jobs`: leave videos with a service, and come back for the answers."""

import sys
from typing import Annotated

import typer
from rich.table import Column, Table

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
from framewise.client import DEFAULT_URL, ProblemError
from framewise.schemas.jobs import Job, JobState, JobSummary

app = typer.Typer(help="Leave videos with a service, and come back for the answers.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The job's id, as `jobs submit` printed it.")]


@app.command()
def submit(
    files: Videos,
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: Model = None,
    version: Version = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Submitting the same file again with the same key gives the same job.")
    ] = None,
) -> None:
    """Leave each video with the service, and print the ids of the jobs, one a line."""
    if idempotency_key is not None and len(files) > 1:
        raise typer.BadParameter("--idempotency-key is one file's")
    status = Exit.OK
    with connected(url, api_key) as client:
        for path in files:
            try:
                with upload_shown(path, "waiting for the job's id") as show:
                    job = client.submit_job(
                        path, idempotency_key=idempotency_key, on_progress=show, model=model, version=version
                    )
            except (ProblemError, OSError) as error:
                complain(f"{path}: {error}")
                status = Exit.REFUSED
                continue
            sys.stdout.write(f"{job.id}\n")
    raise typer.Exit(status)


@app.command("list")
def list_jobs(
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
    after: Annotated[str | None, typer.Option(help="The last id of the list before, to see older ones.")] = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, latest first."""
    with connected(url, api_key) as client:
        found = client.jobs(state=state, limit=limit, after=after)
    if as_json:
        sys.stdout.writelines(f"{job.model_dump_json()}\n" for job in found.jobs)
        return
    # An id that is cut short is none.
    whole = Column("id", min_width=max((len(job.id) for job in found.jobs), default=0))
    table = Table(whole, "state", "clips", "created", "bytes", box=None, header_style="dim")
    for job in found.jobs:
        table.add_row(job.id, job.state, _clips(job), job.created_at, f"{job.upload.num_bytes:,}")
    out.print(table)
    if found.next is not None:
        out.print(f"There are more: --after {found.next}", style="dim")


@app.command()
def show(job_id: JobId, *, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Show a job: its answer once it is done, until then how far it is."""
    with connected(url, api_key) as client:
        _show(client.job(job_id), as_json=as_json)


@app.command()
def watch(job_id: JobId, *, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Wait until a job has ended, and show it; the exit status is 1 if it has not been answered."""
    with connected(url, api_key) as client:
        job = ended_job(client, job_id, job_id)
    _show(job, as_json=as_json)
    raise typer.Exit(Exit.OK if job.state == "done" else Exit.REFUSED)


@app.command()
def cancel(job_id: JobId, *, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Cancel a job; remove it with its result if it has ended."""
    with connected(url, api_key) as client:
        job = client.cancel_job(job_id)
    out.print("removed" if job is None else job.state)


def _show(job: Job, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(f"{job.model_dump_json()}\n")
        return
    try:
        show_prediction(job.id, result_of(job))
    except ProblemError as error:
        complain(f"{job.id}: {error}")
    except JobNotDone:
        out.print(f"{job.id}  {job.state}  {_clips(job)}".rstrip(), markup=False)


def _clips(job: JobSummary) -> str:
    return "" if job.progress is None else f"{job.progress.num_clips_done}/{job.progress.num_clips}"
