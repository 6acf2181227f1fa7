"""When a client disconnects, its request releases all resources, at each stage."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.running_service import RunningService, running_service
from tests.support.slow_upload import SlowUpload
from tests.support.videos import painted

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the decode workers under /proc"),
]

ROOT = Path(__file__).parents[2]
MAX_SECONDS = 0.1
NUM_TRIES = 3

Samples = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with two work slots, whose model is busy with a white clip for longer than a test."""
    models_dir = tmp_path_factory.mktemp("models")
    # In another process: a test of training may have made TensorFlow deterministic here, which forbids its clock.
    export = (
        "import sys, pathlib, tests.support.grey_model;"
        "tests.support.grey_model.write_grey_model(pathlib.Path(sys.argv[1]), white_takes_seconds=60)"
    )
    subprocess.run([sys.executable, "-c", export, str(models_dir)], check=True, cwd=ROOT, timeout=120)
    uploads = tmp_path_factory.mktemp("uploads")
    # One thread runs one batch at a time, so that a second clip waits in the queue.
    slots: dict[str, Any] = {"max_working_requests": 2, "max_waiting_requests": 2}
    with running_service(models_dir, uploads, engine="tensorflow", engine_threads=1, **slots) as service:
        yield service


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video of one clip."""
    return painted(tmp_path_factory.mktemp("videos") / "ramp.mp4", range(0, 160, 10)).read_bytes()


@pytest.fixture(scope="module")
def white(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video that keeps the model busy."""
    return painted(tmp_path_factory.mktemp("videos") / "white.mp4", [255] * 16).read_bytes()


def samples(service: RunningService) -> Samples:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(service.client.get("/metrics").raise_for_status().text)
        for sample in family.samples
    }


def wait_for(service: RunningService, condition: Callable[[Samples], bool]) -> Samples:
    """Read /metrics until `condition` holds, and return the samples."""
    for _ in range(5000):
        if condition(now := samples(service)):
            return now
    raise TimeoutError({name: value for name, value in now.items() if value and not name[0].endswith("_bucket")})


def at(stage: str, number: int) -> Callable[[Samples], bool]:
    return lambda now: now["framewise_requests_in_progress", (stage,)] == number


def is_idle(now: Samples) -> bool:
    return all(at(stage, 0)(now) for stage in ("uploading", "waiting", "working"))


def disconnect(service: RunningService, upload: SlowUpload, is_released: Callable[[Samples], bool]) -> float:
    """Close the connection; return the seconds until the service had released everything, by its own metric."""
    before = samples(service)
    upload.leave()
    count, total = ("framewise_release_seconds_count", ()), ("framewise_release_seconds_sum", ())
    after = wait_for(service, lambda now: now[count] == before[count] + 1)
    assert is_released(after), after
    return after[total] - before[total]


def child_processes(service: RunningService) -> set[int]:
    """The process ids of the decode workers."""
    tasks = Path(f"/proc/{service.process.pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


def test_a_disconnect_during_an_upload(service: RunningService, ramp: bytes) -> None:
    seconds = []
    for _ in range(NUM_TRIES):
        upload = SlowUpload(service, ramp)
        wait_for(service, at("uploading", 1))
        seconds.append(disconnect(service, upload, is_idle))
        assert service.uploads_left() == []
    # The fastest of three: a busy machine may delay one of them, a fault delays all.
    assert min(seconds) < MAX_SECONDS, seconds


def test_a_disconnect_during_decoding(service: RunningService, ramp: bytes) -> None:
    seconds = []
    for _ in range(NUM_TRIES):
        idle = wait_for(service, lambda now: now["framewise_decode_children", ("idle",)] >= 2)
        while len(children := child_processes(service)) < idle["framewise_decode_children", ("idle",)]:
            pass
        for child in children:
            os.kill(child, signal.SIGSTOP)
        upload = SlowUpload(service, ramp)
        upload.send_rest()
        wait_for(service, lambda now: now["framewise_decode_children", ("busy",)] == 1)
        assert len(service.uploads_left()) == 1
        seconds.append(
            disconnect(service, upload, lambda now: is_idle(now) and now["framewise_decode_children", ("busy",)] == 0)
        )
        assert service.uploads_left() == []
        # The worker that was decoding was killed. All others are continued: a list of children that is read while one
        # of them ends may omit another (proc_pid_task_children(5)), which would stay stopped.
        while all(Path(f"/proc/{child}").exists() for child in children):
            pass
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGCONT)
    assert min(seconds) < MAX_SECONDS, seconds


def test_a_disconnect_in_the_queue_of_the_model_and_in_the_queue_of_requests(
    service: RunningService, ramp: bytes, white: bytes
) -> None:
    """Must be the last test of its service: the model stays busy."""
    queue, decoded = ("framewise_queue_clips", ("grey", "1")), ("framewise_decodes_total", ("h264", "mp4", "decoded"))
    num_decoded = samples(service)[decoded]
    holder = SlowUpload(service, white)
    holder.send_rest()
    # After decoding, the model has the clip; a clip that arrives earlier would share the batch.
    wait_for(service, lambda now: now[decoded] == num_decoded + 1)
    seconds = []
    for _ in range(NUM_TRIES):
        queued = SlowUpload(service, ramp)
        queued.send_rest()
        wait_for(service, lambda now: now[queue] == 1)
        waiting = SlowUpload(service, ramp)
        waiting.send_rest()
        wait_for(service, at("waiting", 1))
        seconds.append(disconnect(service, waiting, lambda now: at("waiting", 0)(now) and at("working", 2)(now)))
        assert len(service.uploads_left()) == 2
        seconds.append(disconnect(service, queued, lambda now: now[queue] == 0 and at("working", 1)(now)))
        assert len(service.uploads_left()) == 1
    assert min(seconds[::2]) < MAX_SECONDS, seconds
    assert min(seconds[1::2]) < MAX_SECONDS, seconds
    holder.leave()
