"""`python -m samples.demo`: start the service, ask it about the sample, show the answer, stop it.

Exit status 0 when everything went as it should: the service came up, named what happens in the sample,
looked most at the moment when it happens, and ended cleanly.
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
from framewise.client import Client, ProblemError, ServiceUnreachable
from framewise.schemas.prediction import Prediction

SAMPLES_DIR = Path(__file__).parent
START_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 40
# Sampled frames are up to this far from the moment they stand for.
TOLERANCE_SECONDS = 0.25

_console = Console(highlight=False)


class DemoFailed(Exception):
    """What went wrong, in words for whoever ran the demo."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A video, the model to ask about it, and what truly happens in it, during `[start, end)`."""

    path: Path
    model: str
    label: str
    event_start_seconds: float
    event_end_seconds: float


def read_sample(path: Path = SAMPLES_DIR / "sample.json") -> Sample:
    """The sample that `path` describes; its video lies beside it."""
    told = json.loads(path.read_text())
    return Sample(
        path=path.parent / told["video"],
        model=told["model"],
        label=told["label"],
        event_start_seconds=told["event_start_seconds"],
        event_end_seconds=told["event_end_seconds"],
    )


def run_demo(sample: Sample) -> None:
    """Start, ask, show, compare, stop.

    Raises:
        DemoFailed: at whichever of these steps.
    """
    with running_service() as url:
        wait_until_ready(url)
        prediction = ask(url, sample)
        _console.print(f"\n{sample.path.name}, asked of the model {sample.model}:\n", style="bold")
        _console.print(prediction_chart(prediction))
        _console.print()
    verify(prediction, sample)
    _console.print("The service stopped cleanly.")
    _console.print("\n[bold]make serve[/bold] leaves it running, with a page to try, at http://127.0.0.1:8000/")


@contextmanager
def running_service() -> Iterator[str]:
    """A service on a free port, at the address that is yielded; told to end, and checked to, on the way out.

    Raises:
        DemoFailed: it does not start, or does not end cleanly.
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
    """The address that the service prints once it listens."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_SECONDS)
    url = process.stdout.readline().strip() if readable else ""
    if not url:
        raise DemoFailed("the service did not start; its reason is above")
    return url


def wait_until_ready(url: str) -> None:
    """Pass once models answer, and say meanwhile what is being waited for."""
    started_at = time.monotonic()
    with Client(url) as client, _console.status("Starting the service") as status:
        while (health := client.health()).state != "ready":
            seconds = time.monotonic() - started_at
            if health.state != "starting" or seconds > START_TIMEOUT_SECONDS:
                raise DemoFailed(f"the service is {health.state} after {seconds:.0f} s: {health.detail or ''}")
            waiting = [f"{model.name}/{model.version}" for model in health.models if model.state == "loading"]
            status.update(f"Loading {', '.join(waiting) or 'models'}: {seconds:.0f} s")
            time.sleep(0.2)
    models = ", ".join(f"{model.name}/{model.version}" for model in health.models)
    _console.print(f"The service is ready after {time.monotonic() - started_at:.1f} s, with {models}.")


def ask(url: str, sample: Sample) -> Prediction:
    """The service's answer about the sample."""
    with Client(url) as client:
        return client.predict(sample.path, model=sample.model)


def verify(prediction: Prediction, sample: Sample) -> None:
    """Compare the answer with what is true of the sample.

    Raises:
        DemoFailed: another label, or most attention at another moment.
    """
    label = prediction.prediction.label
    moment = max(prediction.frames, key=lambda frame: frame.attention).time_seconds
    truth = f"{sample.label}, from {sample.event_start_seconds:.2f} s to {sample.event_end_seconds:.2f} s"
    start, end = sample.event_start_seconds - TOLERANCE_SECONDS, sample.event_end_seconds + TOLERANCE_SECONDS
    if label != sample.label or not start <= moment < end:
        raise DemoFailed(f"the answer is {label}, most attention at {moment:.2f} s; in truth it is {truth}")
    _console.print(f"[green]✓[/green] That is right. In truth: {truth}.")


def main() -> int:
    """Run the demo; 0 when all of it went well, 1 otherwise."""
    try:
        run_demo(read_sample())
    except (DemoFailed, ProblemError, ServiceUnreachable, OSError) as error:
        _console.print(f"The demo failed: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
