"""`python -m samples.demo`: start the service, classify the sample, show the prediction, stop the service.

The exit status is 0 if the service started, predicted the sample's label with the highest attention during the event,
and stopped cleanly; otherwise it is 1.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from framewise.cli.chart import prediction_chart
from framewise.cli.terminal import needs_ascii, open_standard_streams
from framewise.client import Client, ProblemError, ServiceUnreachable
from framewise.schemas.prediction import Prediction

SAMPLES_DIR = Path(__file__).parent
START_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 40
# Maximum distance of a sampled frame from the event.
TOLERANCE_SECONDS = 0.25

_console = Console(highlight=False)


class DemoFailed(Exception):
    """A step of the demo failed; the message describes the failure."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A video, the model for it, and its true label, whose event lasts over [start, end)."""

    path: Path
    model: str
    label: str
    event_start_seconds: float
    event_end_seconds: float


def read_sample(path: Path = SAMPLES_DIR / "sample.json") -> Sample:
    """The sample described by the JSON file `path`; its video is in the same folder."""
    fields = json.loads(path.read_text())
    return Sample(
        path=path.parent / fields["video"],
        model=fields["model"],
        label=fields["label"],
        event_start_seconds=fields["event_start_seconds"],
        event_end_seconds=fields["event_end_seconds"],
    )


def run_demo(sample: Sample) -> None:
    """Start the service, classify the sample, print the prediction, stop the service, compare with the truth.

    Raises:
        DemoFailed: one of these steps failed.
    """
    with running_service() as url:
        wait_until_ready(url)
        prediction = predict(url, sample)
        _console.print(f"\n{sample.path.name}, classified by the model {sample.model}:\n", style="bold")
        _console.print(prediction_chart(prediction, is_ascii=needs_ascii(_console)))
        _console.print()
    verify(prediction, sample)
    _console.print("The service stopped cleanly.")
    _console.print("\n[bold]make serve[/bold] keeps the service running; its web page is at http://127.0.0.1:8000/")


@contextmanager
def running_service() -> Iterator[str]:
    """Run a service on a free port and yield its address. On exit the service must stop cleanly.

    Raises:
        DemoFailed: the service does not start or does not stop cleanly.
    """
    environment = {**os.environ, "SERVICE_PORT": "0", "SERVICE_LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "service"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield announced_url(process)
            process.send_signal(signal.SIGTERM)
            status = process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"the service did not stop within {STOP_TIMEOUT_SECONDS} s") from None
        finally:
            process.kill()
    if status != 0:
        raise DemoFailed(f"the service ended with status {status}")


def announced_url(process: subprocess.Popen[str]) -> str:
    """The address that the service prints when it listens."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_SECONDS)
    url = process.stdout.readline().strip() if readable else ""
    if not url:
        raise DemoFailed("the service did not start; its error message is above")
    return url


def wait_until_ready(url: str) -> None:
    """Wait until the models are loaded, and print the models that are still loading."""
    started_at = time.monotonic()
    with Client(url, timeout=START_TIMEOUT_SECONDS) as client, _console.status("Starting the service") as status:
        while (health := client.health()).state != "ready":
            seconds = time.monotonic() - started_at
            if health.state != "starting" or seconds > START_TIMEOUT_SECONDS:
                raise DemoFailed(f"the service is {health.state} after {seconds:.0f} s: {health.detail or ''}")
            waiting = [f"{model.name}/{model.version}" for model in health.models if model.state == "loading"]
            status.update(f"Loading {', '.join(waiting) or 'models'}: {seconds:.0f} s")
            time.sleep(0.2)
    models = ", ".join(f"{model.name}/{model.version}" for model in health.models)
    _console.print(f"The service is ready after {time.monotonic() - started_at:.1f} s, with {models}.")


def predict(url: str, sample: Sample) -> Prediction:
    """The prediction of the service for the sample."""
    with Client(url) as client:
        return client.predict(sample.path, model=sample.model)


def verify(prediction: Prediction, sample: Sample) -> None:
    """Compare the prediction with the sample's label and event.

    Raises:
        DemoFailed: the label differs, or the highest attention is outside the event.
    """
    label = prediction.prediction.label
    peak_seconds = max(prediction.frames, key=lambda frame: frame.attention).time_seconds
    truth = f"{sample.label}, from {sample.event_start_seconds:.2f} s to {sample.event_end_seconds:.2f} s"
    start, end = sample.event_start_seconds - TOLERANCE_SECONDS, sample.event_end_seconds + TOLERANCE_SECONDS
    if label != sample.label or not start <= peak_seconds < end:
        raise DemoFailed(f"the prediction is {label}, highest attention at {peak_seconds:.2f} s; expected {truth}")
    _console.print(f"The prediction is right: {truth}.")


def main() -> int:
    """Run the demo and return its exit status."""
    open_standard_streams()
    try:
        run_demo(read_sample())
    except (DemoFailed, ProblemError, ServiceUnreachable, OSError) as error:
        _console.print(f"The demo failed: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
