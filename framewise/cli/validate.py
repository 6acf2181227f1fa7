"""`framewise validate`: checks videos without running a model."""

import sys

import typer

from framewise.cli.each_file import Failure, each_outcome
from framewise.cli.files import InputFile, input_files
from framewise.cli.options import ApiKey, AsJson, Concurrency, Deadline, Model, Quiet, Timeout, Url, Version, Videos
from framewise.cli.progress_bars import ProgressBars
from framewise.cli.results import json_line, write_outcomes
from framewise.cli.terminal import connect, out
from framewise.client import DEFAULT_URL
from framewise.schemas.prediction import Validation


def validate(
    files: Videos,
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = None,
    model: Model = None,
    version: Version = None,
    deadline: Deadline = None,
    as_json: AsJson = False,
    concurrency: Concurrency = 1,
    quiet: Quiet = False,
) -> None:
    """Check whether each video can be decoded; print the sampled frames and the estimated model time."""
    bars = ProgressBars(is_quiet=quiet)
    with connect(url, api_key, timeout) as client:

        def check(file: InputFile) -> Validation:
            with bars.upload(file.name, "being decoded") as update:
                return client.validate(
                    file.source,
                    on_progress=update,
                    timeout=timeout,
                    model=model,
                    version=version,
                    deadline_seconds=deadline,
                )

        def write(name: str, validation: Validation | None, failure: Failure | None) -> None:
            if as_json:
                sys.stdout.write(json_line(name, "video", validation, failure))
            elif validation is not None:
                _print_validation(name, validation)

        status = write_outcomes(each_outcome(input_files(files), check, concurrency), bars, write)
    raise typer.Exit(status)


def _print_validation(name: str, validation: Validation) -> None:
    video, cost = validation.video, validation.cost
    out.print(f"\n{name}", style="bold", markup=False, soft_wrap=True)
    out.print(f"  {video.container}, {video.codec}, {video.width} x {video.height}, {video.duration_seconds:.2f} s")
    out.print(f"  {video.num_frames_sampled} sampled frames in {cost.num_clips} clips")
    out.print(f"  estimated time of {validation.model.name}/{validation.model.version}: {cost.model_seconds:.2f} s")
    for warning in validation.warnings:
        out.print(f"  ! {warning.message}", style="yellow", markup=False, soft_wrap=True)
