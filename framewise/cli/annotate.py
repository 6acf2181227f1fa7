"""`framewise annotate`: draws a prediction into a copy of the video."""

import errno
from pathlib import Path
from typing import Annotated

import typer

from framewise.cli.each_file import each_outcome
from framewise.cli.files import InputFile, require_regular_file, shown
from framewise.cli.options import (
    ApiKey,
    AsJobs,
    Deadline,
    Force,
    Model,
    Quiet,
    Threshold,
    Timeout,
    Url,
    Version,
    Video,
)
from framewise.cli.output_file import new_file, require_writable
from framewise.cli.predict import predict_as_job, predict_now
from framewise.cli.progress_bars import ProgressBars
from framewise.cli.terminal import ExitStatus, connect, out, print_error
from framewise.client import DEFAULT_URL
from framewise.client.options import PredictOptions
from framewise.schemas.prediction import Prediction


def annotate(
    file: Video,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The .mp4 to write.")],
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = None,
    model: Model = None,
    version: Version = None,
    threshold: Threshold = None,
    deadline: Deadline = None,
    force: Force = False,
    as_jobs: AsJobs = False,
    quiet: Quiet = False,
) -> None:
    """Write a copy of the video with its label, probability and attention drawn into it."""
    if target.suffix.lower() != ".mp4":
        raise typer.BadParameter(f"{shown(target)} does not end in .mp4")
    require_writable(target, [file], force=force)
    # PyAV, OpenCV and NumPy are loaded by this command only.
    try:
        from framewise.cli.annotated_video import annotate_video  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print_error(f"{error}. Install the extra `annotate`: pip install 'framewise[annotate]'")
        raise typer.Exit(ExitStatus.REFUSED) from error

    options = PredictOptions(model=model, version=version, threshold=threshold, deadline_seconds=deadline)
    bars = ProgressBars(is_quiet=quiet)
    with connect(url, api_key, timeout) as client:

        def classify(video: InputFile) -> Prediction:
            # It is read twice.
            require_regular_file(video.path)
            predict_one = predict_as_job if as_jobs else predict_now
            return predict_one(client, video, options, bars, timeout)

        (outcome,) = each_outcome([InputFile(file)], classify, 1)
    if outcome.failure is not None:
        print_error(f"{outcome.file.name}: {outcome.failure.message}")
        raise typer.Exit(outcome.failure.exit_status)
    assert outcome.value is not None
    try:
        with new_file(target, force=force) as part:
            num_frames = annotate_video(file, part, outcome.value)
    except OSError as error:
        print_error(_reason(error, target))
        raise typer.Exit(ExitStatus.REFUSED) from error
    if not quiet:
        out.print(f"{shown(target)}: {num_frames} frames", markup=False, soft_wrap=True)


def _reason(error: OSError, target: Path) -> str:
    """The message of an error; one of the system, such as a full disk, is about the file that is written."""
    is_of_the_system = error.errno in errno.errorcode and error.filename is not None
    return f"{shown(target)} cannot be written: {error.strerror}" if is_of_the_system else str(error)
