"""Arguments and options shared by the commands."""

from pathlib import Path
from typing import Annotated, Literal

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
Timeout = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        metavar="SECONDS",
        help="Longest wait for a response; default: 10 s, and 300 s after a video was sent.",
        show_default=False,
    ),
]
Model = Annotated[str | None, typer.Option(help="Name of the model; default: the service's default model.")]
Version = Annotated[str | None, typer.Option(help="Version of the model; default: the latest version.")]
TopK = Annotated[int | None, typer.Option("--top-k", min=1, max=1000, help="List only the k most probable labels.")]
Threshold = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Minimum probability of an accepted label; default: the model's own."),
]
Frames = Annotated[
    Literal["all", "top", "none"] | None,
    typer.Option(help="Frames to list: all, the three of each clip with the most attention, or none."),
]
Deadline = Annotated[
    float | None,
    typer.Option(
        min=0.001, metavar="SECONDS", help="Time limit of the service for the response, from the end of the upload."
    ),
]
Video = Annotated[Path, typer.Argument(metavar="FILE", help="A video.")]
Videos = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="Videos; a folder stands for the videos below it, a quoted pattern such as '*.mp4' for what it matches, "
        "and - for standard input.",
    ),
]
Concurrency = Annotated[int, typer.Option(min=1, max=64, help="Number of videos to send at the same time.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Draw no progress bars and no charts.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output file if it exists.")]
AsJobs = Annotated[
    bool, typer.Option("--jobs", help="Submit the videos as jobs, which may be longer than `predict` accepts.")
]
