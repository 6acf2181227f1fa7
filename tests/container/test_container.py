"""The image is built and started by compose, as an operator does, then used, inspected and killed."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from framewise.version import __version__

pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
COMPOSE = shutil.which("docker") or "docker"


def docker(*arguments: str, port: int = 0, timeout_seconds: float = 600, address: str = "") -> str:
    """Run a docker command in the repository, and return what it printed."""
    done = subprocess.run(
        [COMPOSE, *arguments],
        cwd=ROOT,
        env={**os.environ, "SERVICE_PUBLISHED_PORT": str(port), "SERVICE_PUBLISHED_ADDRESS": address},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_seconds,
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def free_port() -> int:
    """A port of this machine that no program listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def service() -> Iterator[httpx.Client]:
    """The service under compose, healthy."""
    try:
        docker("compose", "version", timeout_seconds=20)
        docker("info", timeout_seconds=20)
    except (AssertionError, OSError, subprocess.TimeoutExpired):
        pytest.skip("no container engine with compose answers here")
    port = free_port()
    project = ("compose", "--project-name", "framewise-test")
    try:
        docker(*project, "up", "--build", "--wait", "--wait-timeout", "240", port=port)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        docker(*project, "down", "--volumes", "--timeout", "40", port=port)


def container() -> str:
    """Id of the running container."""
    return docker("ps", "--quiet", "--filter", "label=com.docker.compose.project=framewise-test").strip()


def predict_sample(client: httpx.Client) -> httpx.Response:
    """Send the sample video to its model."""
    (sample,) = (ROOT / "samples").glob("*.mp4")
    return client.post("/predict", params={"model": "events"}, files={"video": sample.read_bytes()})


def test_it_predicts_the_sample(service: httpx.Client) -> None:
    answer = predict_sample(service).raise_for_status().json()
    assert answer["prediction"]["probability"] > 0.5
    assert sum(frame["attention"] for frame in answer["frames"]) == pytest.approx(len(answer["clips"]), abs=1e-5)


def test_it_runs_without_privileges_on_a_read_only_file_system(service: httpx.Client) -> None:
    assert service.get("/health/live").status_code == 200
    probe = (
        "import os, pathlib;"
        "print(os.getuid(), [line for line in open('/proc/self/status') if line.startswith(('CapEff', 'NoNewPrivs'))]);"
        "pathlib.Path('/app/x').touch()"
    )
    done = subprocess.run(
        [COMPOSE, "exec", container(), "python", "-c", probe], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("10001 ")
    assert "CapEff:\\t0000000000000000" in done.stdout
    assert "NoNewPrivs:\\t1" in done.stdout
    assert "Read-only file system" in done.stderr


def test_its_memory_processors_and_processes_are_limited(service: httpx.Client) -> None:
    assert service.get("/health/live").status_code == 200
    (inspected,) = json.loads(docker("inspect", container()))
    limits = inspected["HostConfig"]
    assert limits["Memory"] > 0
    assert limits["NanoCpus"] > 0
    assert limits["PidsLimit"] > 0


def test_it_is_published_on_this_machine_only(service: httpx.Client) -> None:
    assert service.get("/health/live").status_code == 200
    (inspected,) = json.loads(docker("inspect", container()))
    addresses = [each["HostIp"] for port in inspected["NetworkSettings"]["Ports"].values() for each in port]
    assert addresses == ["127.0.0.1"]


def test_its_labels_name_the_version(service: httpx.Client) -> None:
    assert service.get("/health/live").status_code == 200
    (inspected,) = json.loads(docker("image", "inspect", "framewise"))
    labels = inspected["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.title"] == "Framewise"


def test_it_holds_no_installer_and_no_opencv(service: httpx.Client) -> None:
    assert service.get("/health/live").status_code == 200
    probe = (
        "import importlib.util, json, shutil;"
        "print(json.dumps([name for name in ('pip', 'ensurepip', 'cv2') if importlib.util.find_spec(name)]"
        " + [name for name in ('pip', 'pip3', 'uv') if shutil.which(name)]))"
    )
    for python in ("/opt/venv/bin/python", "/usr/local/bin/python"):
        assert json.loads(docker("exec", container(), python, "-c", probe)) == []


def test_the_list_of_components_has_every_package_of_python_and_debian(service: httpx.Client, tmp_path: Path) -> None:
    assert service.get("/health/live").status_code == 200
    written = subprocess.run(
        [sys.executable, ROOT / "requirements" / "sbom.py", tmp_path, "--image", "framewise"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert written.returncode == 0, written.stderr
    bom = json.loads((tmp_path / "framewise-image.cdx.json").read_text())
    listed = {(component["name"], component["version"]) for component in bom["components"]}
    probe = (
        "import importlib.metadata, json;"
        "print(json.dumps([[each.metadata['Name'], each.version] for each in importlib.metadata.distributions()]))"
    )
    packages = {(name, version) for name, version in json.loads(docker("exec", container(), "python", "-c", probe))}
    assert len(packages) > 50
    assert packages <= listed
    debian = docker("exec", container(), "dpkg-query", "-W", "-f", "${Package}\t${Version}\n")
    system = {tuple(line.split("\t")) for line in debian.splitlines()}
    assert len(system) > 50
    assert system <= listed
    models = {(path.parts[-3], path.parts[-2]) for path in (ROOT / "models").glob("*/*/manifest.json")}
    assert models <= listed
    assert "libx264" in json.dumps(bom)


def test_published_to_others_it_requires_a_key(service: httpx.Client) -> None:
    assert service.get("/models").status_code == 200
    port = free_port()
    project = ("compose", "--project-name", "framewise-test-keys")
    # This machine's own address stands for all: the address is set, and that alone turns the keys on.
    address = "127.0.0.1"
    try:
        docker(*project, "up", "--wait", "--wait-timeout", "240", port=port, address=address)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            assert client.get("/health/ready").status_code == 200
            assert client.get("/models").status_code in (401, 503)
            create = ("run", "--rm", "framewise", "python", "-m", "service.keys", "create", "--name", "test")
            key = docker(*project, *create, port=port, address=address).split()[-1]
            assert client.get("/models", headers={"Authorization": f"Bearer {key}"}).status_code == 200
            assert client.get("/models").status_code == 401
    finally:
        docker(*project, "down", "--volumes", "--timeout", "40", port=port)


def test_it_restarts_after_its_main_process_is_killed(service: httpx.Client) -> None:
    (before,) = json.loads(docker("inspect", container()))
    kill = (
        "import os, pathlib, signal;"
        "[os.kill(int(p.parent.name), signal.SIGKILL) for p in pathlib.Path('/proc').glob('[0-9]*/cmdline')"
        " if p.read_bytes().startswith(b'python\\0-m\\0service\\0')]"
    )
    subprocess.run([COMPOSE, "exec", container(), "python", "-c", kill], check=False)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        (now,) = json.loads(docker("inspect", before["Id"]))
        if now["RestartCount"] > before["RestartCount"] and now["State"]["Health"]["Status"] == "healthy":
            break
        # The command line has no event for a restart to wait for.
        time.sleep(0.5)
    else:
        pytest.fail("the container did not come back")
    assert predict_sample(service).status_code == 200
