"""The servers under benchmark: our service and its peers, with the same SavedModel on the same machine."""

import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from benchmarks.harness.environments import CACHE, PEERS, ROOT, peer_python
from benchmarks.harness.processes import RunningServer, base_environment, free_port, running_server

LONG_QUEUE = {"max_concurrent_uploads": 64, "max_uploads_per_caller": 64, "max_waiting_requests": 64}
"""Settings of our service with a slot for every client of a closed loop, because peers queue without a limit."""


@dataclass(frozen=True, slots=True)
class BenchmarkServer:
    """How to start one server, send it a video, and read the probabilities of its response."""

    name: str
    start: Callable[[Path], AbstractContextManager[RunningServer]]
    request: Callable[[str, bytes], httpx.Request]
    probabilities: Callable[[httpx.Response], list[float]]


@contextmanager
def our_service(model_dir: Path, **settings: object) -> Iterator[RunningServer]:
    """Run the service of this checkout with one model and default settings, except `settings`.

    Its response cache is off, because the same videos are sent repeatedly.
    """
    port = free_port()
    variables = {
        f"SERVICE_{name.upper()}": str(value) for name, value in ({"answer_cache_bytes": 0} | settings).items()
    }
    environment = base_environment() | {
        "SERVICE_PORT": str(port),
        "SERVICE_MODELS_DIR": str(models_dir_of(model_dir)),
        "SERVICE_DEFAULT_MODEL": model_dir.parent.name,
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    ready_url = f"http://127.0.0.1:{port}/health"
    with running_server("ours", [sys.executable, "-m", "service"], environment, ready_url) as server:
        yield server


def models_dir_of(model_dir: Path) -> Path:
    """A models directory with `model_dir` as its only model."""
    models_dir = CACHE / "models" / f"only-{model_dir.parent.name}"
    models_dir.mkdir(parents=True, exist_ok=True)
    link = models_dir / model_dir.parent.name
    if not link.is_symlink():
        link.symlink_to(model_dir.parent.resolve(), target_is_directory=True)
    return models_dir


def ours(name: str = "ours", **settings: object) -> BenchmarkServer:
    """Our service."""
    return BenchmarkServer(
        name,
        lambda model_dir: our_service(model_dir, **settings),
        _multipart_request,
        lambda response: _in_manifest_order(response.json()["probabilities"]),
    )


def ours_with_each_engine(**settings: Any) -> list[BenchmarkServer]:
    """Our service with its default engine, and with OpenVINO if it is installed."""
    servers = [ours(**settings)]
    if find_spec("openvino") is not None:
        servers.append(ours("ours, OpenVINO", engine="openvino", **settings))
    return servers


def peers() -> list[BenchmarkServer]:
    """LitServe, BentoML, Ray Serve and MLServer, each with its own batching."""
    return [
        BenchmarkServer("LitServe", _litserve, _multipart_request, _plain),
        BenchmarkServer("BentoML", _bentoml, _multipart_request, _plain),
        BenchmarkServer("Ray Serve", _ray_serve, _multipart_request, _plain),
        BenchmarkServer(
            "MLServer", _mlserver, _v2_request, lambda response: list(response.json()["outputs"][0]["data"])
        ),
    ]


def usual_service() -> BenchmarkServer:
    """The usual service: FastAPI, OpenCV and Keras without batching."""
    return BenchmarkServer("usual service", _usual, _multipart_request, _plain)


def _plain(response: httpx.Response) -> list[float]:
    probabilities: list[float] = response.json()["probabilities"]
    return probabilities


def _in_manifest_order(ranked: list[dict[str, object]]) -> list[float]:
    # Our service ranks labels; peers return them in the order of the manifest, which is alphabetical.
    return [float(str(entry["probability"])) for entry in sorted(ranked, key=lambda entry: str(entry["label"]))]


def _multipart_request(url: str, video: bytes) -> httpx.Request:
    return httpx.Request("POST", f"{url}/predict", files={"video": ("video.mp4", video, "video/mp4")})


def _v2_request(url: str, video: bytes) -> httpx.Request:
    tensor = {
        "name": "video",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(video).decode()],
    }
    return httpx.Request("POST", f"{url}/v2/models/video/infer", json={"inputs": [tensor]})


def _environment(model_dir: Path, port: int) -> dict[str, str]:
    return base_environment() | {"PORT": str(port), "MODEL_DIR": str(model_dir.resolve()), "PYTHONPATH": str(ROOT)}


def _tuned_environment(model_dir: Path, port: int) -> dict[str, str]:
    # Enable the oneDNN kernels of TensorFlow as our service does; they are the default only on some processors.
    return _environment(model_dir, port) | {"TF_ENABLE_ONEDNN_OPTS": "1"}


def _usual(model_dir: Path) -> AbstractContextManager[RunningServer]:
    port = free_port()
    command = [peer_python("usual"), PEERS / "usual" / "server.py"]
    return running_server("usual", command, _environment(model_dir, port), f"http://127.0.0.1:{port}/health")


def _litserve(model_dir: Path) -> AbstractContextManager[RunningServer]:
    port = free_port()
    command = [peer_python("litserve"), PEERS / "litserve" / "server.py"]
    return running_server("litserve", command, _tuned_environment(model_dir, port), f"http://127.0.0.1:{port}/health")


def _bentoml(model_dir: Path) -> AbstractContextManager[RunningServer]:
    port = free_port()
    python = peer_python("bentoml")
    command: list[str | Path] = [
        python.parent / "bentoml",
        "serve",
        "server:Videos",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    environment = _tuned_environment(model_dir, port) | {
        "BENTOML_HOME": str(CACHE / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    ready_url = f"http://127.0.0.1:{port}/readyz"
    return running_server("bentoml", command, environment, ready_url, folder=PEERS / "bentoml")


def _ray_serve(model_dir: Path) -> AbstractContextManager[RunningServer]:
    port = free_port()
    environment = _tuned_environment(model_dir, port) | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
    command = [peer_python("ray_serve"), PEERS / "ray_serve" / "server.py"]
    return running_server("ray_serve", command, environment, f"http://127.0.0.1:{port}/predict")


def _mlserver(model_dir: Path) -> AbstractContextManager[RunningServer]:
    ports = [free_port() for _ in range(3)]
    folder = CACHE / "mlserver"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "http_port": ports[0],
        "grpc_port": ports[1],
        "metrics_port": ports[2],
        "parallel_workers": os.cpu_count() or 1,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text((PEERS / "mlserver" / "model-settings.json").read_text())
    python = peer_python("mlserver")
    ready_url = f"http://127.0.0.1:{ports[0]}/v2/models/video/ready"
    command: list[str | Path] = [python.parent / "mlserver", "start", folder]
    running = running_server("mlserver", command, _tuned_environment(model_dir, ports[0]), ready_url, folder=folder)
    return _with_url(running, f"http://127.0.0.1:{ports[0]}")


@contextmanager
def _with_url(running: AbstractContextManager[RunningServer], url: str) -> Iterator[RunningServer]:
    with running as server:
        yield RunningServer(server.name, url, server.process, server.log_path)
