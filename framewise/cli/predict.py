"""`framewise predict`: classifies videos."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from framewise.cli.each_file import Failure, each_outcome
from framewise.cli.files import InputFile, input_files
from framewise.cli.options import (
    ApiKey,
    AsJobs,
    AsJson,
    Concurrency,
    Deadline,
    Force,
    Frames,
    Model,
    Quiet,
    Threshold,
    Timeout,
    TopK,
    Url,
    Version,
    Videos,
)
from framewise.cli.output_file import new_file, require_writable
from framewise.cli.progress_bars import ProgressBars
from framewise.cli.results import outcome_writer, write_outcomes
from framewise.cli.terminal import ExitStatus, connect, job_result
from framewise.client import DEFAULT_URL, Client
from framewise.client.options import PredictOptions
from framewise.schemas.prediction import Prediction


def predict(
    files: Videos,
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    timeout: Timeout = None,
    model: Model = None,
    version: Version = None,
    top_k: TopK = None,
    threshold: Threshold = None,
    frames: Frames = None,
    deadline: Deadline = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one CSV row per sampled frame.")] = False,
    output: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the results to this file.")] = None,
    force: Force = False,
    as_jobs: AsJobs = False,
    concurrency: Concurrency = 1,
    quiet: Quiet = False,
) -> None:
    """Print the label of each video, its probability, and the attention over time."""
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    videos = input_files(files)
    if output is not None:
        require_writable(output, [video.path for video in videos], force=force)
    options = PredictOptions(
        model=model, version=version, top_k=top_k, threshold=threshold, frames=frames, deadline_seconds=deadline
    )
    form = "json" if as_json else "csv" if as_csv else "line" if quiet else "chart"
    bars = ProgressBars(is_quiet=quiet)
    with ExitStack() as stack:
        client = stack.enter_context(connect(url, api_key, timeout))
        stream = sys.stdout
        if output is not None:
            path = stack.enter_context(new_file(output, force=force))
            stream = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
        write_form = outcome_writer(stream, form, is_standard_output=output is None)

        def classify(file: InputFile) -> Prediction:
            predict_one = predict_as_job if as_jobs else predict_now
            return predict_one(client, file, options, bars, timeout)

        def write(name: str, prediction: Prediction | None, failure: Failure | None) -> None:
            write_form(name, prediction, failure)
            stream.flush()

        try:
            status = write_outcomes(each_outcome(videos, classify, concurrency), bars, write)
        except KeyboardInterrupt:
            # What is written so far stays.
            status = ExitStatus.INTERRUPTED
    raise typer.Exit(status)


def predict_now(
    client: Client, file: InputFile, options: PredictOptions, bars: ProgressBars, timeout: float | None = None
) -> Prediction:
    """Classify the video with `POST /predict`."""
    with bars.upload(file.name, "waiting for the prediction") as update:
        return client.predict(file.source, on_progress=update, timeout=timeout, **options)


def predict_as_job(
    client: Client, file: InputFile, options: PredictOptions, bars: ProgressBars, timeout: float | None = None
) -> Prediction:
    """Classify the video as a job, and wait for its result.

    Raises:
        JobNotDone: the job was cancelled.
    """
    with bars.upload(file.name, "waiting for the job's id") as update:
        job = client.submit_job(file.source, on_progress=update, timeout=timeout, **options)
    return job_result(bars.wait_for_job(client, job.id, file.name))
