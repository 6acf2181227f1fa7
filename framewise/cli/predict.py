"""`framewise predict`: classifies videos."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from framewise.cli.csv_rows import csv_text
from framewise.cli.options import ApiKey, AsJson, Model, Url, Version, Videos
from framewise.cli.terminal import (
    ExitStatus,
    JobNotDone,
    connect,
    job_result,
    print_error,
    print_prediction,
    upload_progress,
    wait_for_job,
)
from framewise.client import DEFAULT_URL, Client, ProblemError
from framewise.schemas.prediction import Prediction


def predict(
    files: Videos,
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: Model = None,
    version: Version = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one CSV row per sampled frame.")] = False,
    as_jobs: Annotated[
        bool, typer.Option("--jobs", help="Submit the videos as jobs, which may be longer than `predict` accepts.")
    ] = False,
) -> None:
    """Print the label of each video, its probability, and the attention over time."""
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    predict_one = predict_as_job if as_jobs else predict_now
    status = ExitStatus.OK
    with connect(url, api_key) as client:
        for number, path in enumerate(files):
            try:
                prediction = predict_one(client, path, model, version)
            except (ProblemError, JobNotDone, OSError) as error:
                print_error(f"{path}: {error}")
                status = ExitStatus.REFUSED
                continue
            if as_json:
                sys.stdout.write(prediction.model_dump_json() + "\n")
            elif as_csv:
                sys.stdout.write(csv_text(path, prediction, with_header=number == 0))
            else:
                print_prediction(str(path), prediction)
    raise typer.Exit(status)


def predict_now(client: Client, path: Path, model: str | None = None, version: str | None = None) -> Prediction:
    """Classify the video with `POST /predict`."""
    with upload_progress(path, "waiting for the prediction") as update:
        return client.predict(path, on_progress=update, model=model, version=version)


def predict_as_job(client: Client, path: Path, model: str | None = None, version: str | None = None) -> Prediction:
    """Classify the video as a job, and wait for its result.

    Raises:
        JobNotDone: the job was cancelled.
    """
    with upload_progress(path, "waiting for the job's id") as update:
        job = client.submit_job(path, on_progress=update, model=model, version=version)
    return job_result(wait_for_job(client, job.id, path.name))
