"""Runs the service in its own process, as an operator starts it."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

# These guard against a hang, and must not be met by a machine that has more to do.
START_TIMEOUT_SECONDS = 300
ANSWER_TIMEOUT_SECONDS = 120


@dataclass
class RunningService:
    """A service that is listening; `log_path` holds its standard error."""

    url: str
    process: subprocess.Popen[bytes]
    upload_dir: Path
    log_path: Path
    client: httpx.Client = field(repr=False)

    def post_video(self, path: Path, **query: object) -> httpx.Response:
        """POST the file to /predict."""
        with path.open("rb") as file:
            return self.client.post("/predict", files={"video": file}, params=query)  # type: ignore[arg-type]

    def uploads_left(self) -> list[Path]:
        """The upload files on disk."""
        return [path for path in self.upload_dir.rglob("*") if path.is_file()]

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait until the process ends, and return its exit status."""
        self.process.send_signal(sig)
        return self.process.wait(timeout=ANSWER_TIMEOUT_SECONDS)


@contextmanager
def running_service(
    models_dir: Path,
    upload_dir: Path,
    *,
    until_ready: bool = True,
    installed_python: Path | None = None,
    variables: Mapping[str, str] | None = None,
    **settings: object,
) -> Iterator[RunningService]:
    """Run a service on a free port with `settings` for the length of the context.

    Its engine is OpenVINO unless `settings` name one: it starts in half the time that TensorFlow takes.
    `installed_python` runs the service that is installed for that interpreter, instead of the one of this checkout.
    `variables` are other variables of its environment.
    """
    with (
        tempfile.TemporaryDirectory(prefix="service-log-") as log_dir,
        (Path(log_dir) / "log").open("wb") as log,
    ):
        process = subprocess.Popen(
            [installed_python or sys.executable, "-m", "service"],
            cwd=upload_dir if installed_python else None,
            env=service_environment(models_dir, upload_dir, settings)
            | ({"PYTHONPATH": ""} if installed_python else {})
            | dict(variables or {}),
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            url = _announced_url(process, Path(log.name))
            with httpx.Client(base_url=url, timeout=ANSWER_TIMEOUT_SECONDS) as client:
                service = RunningService(url, process, upload_dir, Path(log.name), client)
                if until_ready:
                    wait_until_not_starting(service)
                yield service
        finally:
            if "COVERAGE_PROCESS_CONFIG" in os.environ:
                # A killed process would not write which lines it ran.
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=5)
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def wait_until_not_starting(service: RunningService) -> str:
    """Wait until the models are loaded or have failed to load; returns the state."""
    for _ in range(START_TIMEOUT_SECONDS * 10):
        state: str = service.client.get("/health").json()["state"]
        if state != "starting":
            return state
        select.select([], [], [], 0.1)
    raise TimeoutError(service.log_path.read_text())


def service_environment(models_dir: Path, upload_dir: Path, settings: Mapping[str, object]) -> dict[str, str]:
    """The environment of a service with `settings` on a free port; its engine is OpenVINO unless they name one."""
    chosen = {f"SERVICE_{name.upper()}": str(value) for name, value in settings.items()}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")},
        "SERVICE_MODELS_DIR": str(models_dir),
        "SERVICE_UPLOAD_DIR": str(upload_dir),
        "SERVICE_PORT": "0",
        "SERVICE_ENGINE": "openvino",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **chosen,
    }


def _announced_url(process: subprocess.Popen[bytes], log_path: Path) -> str:
    """The address that the service prints on standard output once it listens."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_SECONDS)
    line = process.stdout.readline().decode().strip() if readable else ""
    if not line.startswith("http://"):
        raise RuntimeError(f"the service did not start: {log_path.read_text()}")
    return line
