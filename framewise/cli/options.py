"""Arguments and options shared by the commands."""

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[str, typer.Option(envvar="FRAMEWISE_URL", help="Address of the service.")]
ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="FRAMEWISE_API_KEY",
        help="API key, if the service requires one. Other users of the machine can read a command line, but not the "
        "environment.",
    ),
]
Model = Annotated[str | None, typer.Option(help="Name of the model; default: the service's default model.")]
Version = Annotated[str | None, typer.Option(help="Version of the model; default: the latest version.")]
Video = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]
Videos = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
