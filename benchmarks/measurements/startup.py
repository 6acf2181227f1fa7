"""Start-up benchmark: seconds from process start to `ready`, and the seconds of each stage, for each engine.

The stages are logged by the service. Some overlap, so their sum may exceed the total.
"""

import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import httpx

from benchmarks.harness.environments import ROOT
from benchmarks.harness.processes import base_environment, free_port, running_server
from benchmarks.harness.report import Report, Table
from benchmarks.harness.servers import models_dir_of
from benchmarks.harness.spread import Spread

_LISTENING, _READY = "listening", "ready"


def measure(model_dir: Path, *, is_quick: bool) -> Report:
    """Run the benchmark."""
    models_dir = models_dir_of(model_dir)
    num_runs = 1 if is_quick else 3
    engines = [name for name in ("tensorflow", "openvino") if find_spec(name)]
    seconds: dict[str, dict[str, list[float]]] = {engine: {} for engine in engines}
    for run in range(num_runs):
        for engine in engines:
            for stage, took in _start(models_dir, engine).items():
                seconds[engine].setdefault(stage, []).append(took)
            print(f"{engine}, run {run + 1} of {num_runs}: {seconds[engine][_READY][-1]:.2f} s", file=sys.stderr)
    return Report(
        name="startup",
        figures={
            # Figures of the default engine have no prefix.
            f"{'' if engine == 'tensorflow' else f'{engine}_'}{end}_seconds": Spread.of(seconds[engine][end]).median
            for engine in engines
            for end in (_LISTENING, _READY)
        },
        tables=[
            Table(
                f"{engine}, seconds: median [quartiles]",
                ["", "seconds"],
                [[stage, str(Spread.of(runs))] for stage, runs in seconds[engine].items()],
            )
            for engine in engines
        ],
        notes=["stages overlap: decode workers start and formats are probed while the engine is imported"],
        details={"seconds": seconds},
    )


def _start(models_dir: Path, engine: str) -> dict[str, float]:
    """Seconds of each stage, and from process start until the service listens and until it is ready."""
    port = free_port()
    environment = base_environment() | {
        "SERVICE_PORT": str(port),
        "SERVICE_MODELS_DIR": str(models_dir),
        "SERVICE_ENGINE": engine,
        "PYTHONPATH": str(ROOT),
    }
    started_at = time.time()
    url = f"http://127.0.0.1:{port}/health"
    command = [sys.executable, "-m", "service"]
    with running_server("startup", command, environment, f"{url}/live") as server:
        seconds_to_listen = time.time() - started_at
        while (state := httpx.get(url, timeout=30).json()["state"]) == "starting":
            time.sleep(0.02)
        if state != "ready":
            raise RuntimeError(server.log_path.read_text())
        seconds_to_ready = time.time() - started_at
        return _stages(server.log_path) | {_LISTENING: seconds_to_listen, _READY: seconds_to_ready}


def _stages(log_path: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in log_path.read_text().splitlines() if line.startswith("{")]
    return {
        " ".join(filter(None, (line["stage"], line.get("model")))): line["seconds"] for line in lines if "stage" in line
    }
