"""The command `framewise`, a client of a running service.

Exit status:
    0  every video was classified or validated
    1  the service refused a request, a job has no result, or a file cannot be read; the other videos were processed
    2  the command line is wrong
    3  the service is unreachable
"""

from typing import Annotated

import typer
from rich.table import Table

from framewise.cli import jobs
from framewise.cli.annotate import annotate
from framewise.cli.options import ApiKey, Url
from framewise.cli.predict import predict
from framewise.cli.terminal import ExitStatus, connect, out
from framewise.cli.validate import validate
from framewise.client import DEFAULT_URL
from framewise.version import __version__

app = typer.Typer(
    epilog="Exit status: 0 success, 1 a request was refused, 2 usage error, 3 the service is unreachable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(*, is_requested: bool) -> None:
    if is_requested:
        out.print(f"framewise {__version__}", markup=False)
        raise typer.Exit(ExitStatus.OK)


@app.callback()
def main(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Classify videos with a running Framewise service."""


app.command()(predict)
app.command()(validate)
app.add_typer(jobs.app, name="jobs")
app.command()(annotate)


@app.command()
def models(*, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """List the models that are ready; a star marks the default model."""
    table = Table("model", "labels", "description", box=None, header_style="dim")
    with connect(url, api_key) as client:
        for model in client.models().models:
            star = "*" if model.is_default else " "
            table.add_row(f"{star} {model.name}/{model.version}", ", ".join(model.labels), model.description)
    out.print(table)


@app.command()
def health(*, url: Url = DEFAULT_URL) -> None:
    """Print the state of the service and of each model; the exit status is 1 unless it serves predictions."""
    with connect(url, None) as client:
        report = client.health()
    is_ready = report.state in ("ready", "degraded")
    out.print(report.state, report.detail or "", style="bold green" if report.state == "ready" else "bold yellow")
    for model in report.models:
        out.print(f"  {model.name}/{model.version}  {model.state}  {model.detail or ''}", markup=False)
    raise typer.Exit(ExitStatus.OK if is_ready else ExitStatus.REFUSED)
