"""`framewise validate`: checks videos without running a model."""

import sys
from pathlib import Path

import typer

from framewise.cli.options import ApiKey, AsJson, Model, Url, Version, Videos
from framewise.cli.terminal import ExitStatus, connect, out, print_error, upload_progress
from framewise.client import DEFAULT_URL, ProblemError
from framewise.schemas.prediction import Validation


def validate(
    files: Videos,
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: Model = None,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Check whether each video can be decoded; print the sampled frames and the estimated model time."""
    status = ExitStatus.OK
    with connect(url, api_key) as client:
        for path in files:
            try:
                with upload_progress(path, "being decoded") as update:
                    validation = client.validate(path, on_progress=update, model=model, version=version)
            except (ProblemError, OSError) as error:
                print_error(f"{path}: {error}")
                status = ExitStatus.REFUSED
                continue
            if as_json:
                sys.stdout.write(validation.model_dump_json() + "\n")
            else:
                _print_validation(path, validation)
    raise typer.Exit(status)


def _print_validation(path: Path, validation: Validation) -> None:
    video, cost = validation.video, validation.cost
    out.print(f"\n{path}", style="bold", markup=False)
    out.print(f"  {video.container}, {video.codec}, {video.width} x {video.height}, {video.duration_seconds:.2f} s")
    out.print(f"  {video.num_frames_sampled} sampled frames in {cost.num_clips} clips")
    out.print(f"  estimated time of {validation.model.name}/{validation.model.version}: {cost.model_seconds:.2f} s")
    for warning in validation.warnings:
        out.print(f"  ! {warning.message}", style="yellow", markup=False)
