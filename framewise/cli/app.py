"""The command `framewise`, a client of a running service.

Exit status:
    0  every video was classified or validated
    1  the service refused a request, a job has no result, or a file cannot be read; the other videos were processed
    2  the command line, the address or the key is wrong
    3  the service is unreachable
"""

import json
import sys
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from framewise.cli import jobs
from framewise.cli.annotate import annotate
from framewise.cli.options import ApiKey, AsJson, Timeout, Url
from framewise.cli.predict import predict
from framewise.cli.terminal import ExitStatus, connect, open_standard_streams, out, print_table
from framewise.cli.validate import validate
from framewise.client import DEFAULT_URL
from framewise.version import __version__

app = typer.Typer(
    epilog="Exit status: 0 success, 1 a request was refused, 2 usage error, 3 the service is unreachable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(*, is_requested: bool) -> None:
    if is_requested:
        out.print(f"framewise {__version__}", markup=False)
        raise typer.Exit(ExitStatus.OK)


@app.callback()
def main(
    *,
    show_version: Annotated[  # noqa: ARG001 - its callback prints
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Classify videos with a running Framewise service."""
    open_standard_streams()


app.command()(predict)
app.command()(validate)
app.add_typer(jobs.app, name="jobs")
app.command()(annotate)


@app.command()
def models(*, url: Url = DEFAULT_URL, api_key: ApiKey = None, timeout: Timeout = None, as_json: AsJson = False) -> None:
    """List the models that are ready; a star marks the default model."""
    with connect(url, api_key, timeout) as client:
        found = client.models().models
    if as_json:
        sys.stdout.writelines(json.dumps(model.to_dict()) + "\n" for model in found)
        return
    names = [f"{'*' if model.is_default else ' '} {model.name}/{model.version}" for model in found]
    name_column = Column("model", min_width=max(map(len, names), default=0))
    table = Table(name_column, "labels", "description", box=None, header_style="dim")
    for name, model in zip(names, found, strict=True):
        table.add_row(*(Text(cell) for cell in (name, ", ".join(model.labels), model.description)))
    print_table(table)


@app.command()
def health(*, url: Url = DEFAULT_URL, timeout: Timeout = None, as_json: AsJson = False) -> None:
    """Print the state of the service and of each model; the exit status is 1 unless it serves predictions."""
    with connect(url, None, timeout) as client:
        report = client.health()
    is_ready = report.state in ("ready", "degraded")
    if as_json:
        sys.stdout.write(json.dumps(report.to_dict()) + "\n")
        raise typer.Exit(ExitStatus.OK if is_ready else ExitStatus.REFUSED)
    style = "bold green" if report.state == "ready" else "bold yellow"
    out.print(report.state, report.detail or "", style=style, markup=False, soft_wrap=True)
    for model in report.models:
        out.print(f"  {model.name}/{model.version}  {model.state}  {model.detail or ''}", markup=False, soft_wrap=True)
    raise typer.Exit(ExitStatus.OK if is_ready else ExitStatus.REFUSED)
