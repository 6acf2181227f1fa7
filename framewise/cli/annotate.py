"""`framewise annotate`: draws a prediction into a copy of the video."""

from pathlib import Path
from typing import Annotated

import typer

from framewise.cli.options import ApiKey, Model, Url, Version, Video
from framewise.cli.predict import predict_now
from framewise.cli.terminal import ExitStatus, connect, out, print_error
from framewise.client import DEFAULT_URL


def annotate(
    file: Video,
    target: Annotated[Path, typer.Argument(metavar="OUT", dir_okay=False, writable=True, help="The .mp4 to write.")],
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: Model = None,
    version: Version = None,
) -> None:
    """Write a copy of the video with its label, probability and attention drawn into it."""
    if target.suffix != ".mp4":
        raise typer.BadParameter(f"{target} does not end in .mp4")
    # PyAV, OpenCV and NumPy are loaded by this command only.
    try:
        from framewise.cli.annotated_video import annotate_video  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print_error(f"{error}. Install the extra `annotate`: pip install 'framewise[annotate]'")
        raise typer.Exit(ExitStatus.REFUSED) from error

    with connect(url, api_key) as client:
        prediction = predict_now(client, file, model, version)
    try:
        num_frames = annotate_video(file, target, prediction)
    except OSError as error:
        print_error(f"{file}: {error}")
        raise typer.Exit(ExitStatus.REFUSED) from error
    out.print(f"{target}: {num_frames} frames", markup=False)
