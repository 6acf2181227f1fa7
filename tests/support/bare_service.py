"""A service without models in its own process: it listens within a few seconds, and is never ready."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.proxies import free_port, wait_until_listening

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class BareService:
    """A service that is listening on 127.0.0.1."""

    port: int
    process: "subprocess.Popen[bytes]"
    log_path: Path

    @property
    def url(self) -> str:
        """Its address, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def metric(self, text: str, name: str) -> float:
        """The value of a metric without labels in the text of `/metrics`."""
        (value,) = (line.split()[1] for line in text.splitlines() if line.startswith(f"{name} "))
        return float(value)


@contextmanager
def bare_service(
    directory: Path, *, command_line: str = 'exec "$@"', stderr: int | None = None, **settings: object
) -> Iterator[BareService]:
    """Run a service with `settings`; the shell command `command_line` runs it as "$@".

    `stderr` replaces its log file.
    """
    port, log_path = free_port(), directory / "log"
    (directory / "models").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")},
        "SERVICE_PORT": str(port),
        "SERVICE_MODELS_DIR": str(directory / "models"),
        "SERVICE_UPLOAD_DIR": str(directory),
        "SERVICE_ENGINE": "openvino",
        **{f"SERVICE_{name.upper()}": str(value) for name, value in settings.items()},
    }
    command = ["sh", "-c", command_line, "sh", sys.executable, "-m", "service"]
    with (
        log_path.open("wb") as log,
        subprocess.Popen(
            command, cwd=_ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=stderr or log
        ) as process,
    ):
        try:
            if not wait_until_listening(port, process):
                raise RuntimeError(f"the service does not listen: {log_path.read_text()}")
            yield BareService(port, process, log_path)
        finally:
            process.kill()
