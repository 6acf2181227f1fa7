"""Client and server are built, installed away from the checkout, and used together."""

import json
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

from framewise.version import __version__
from service.app import create_app
from service.settings import Settings
from tests.support.running_service import running_service

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
PROJECTS = {"framewise": ROOT / "framewise", "framewise_server": ROOT}

pytestmark = pytest.mark.skipif(not UV.exists(), reason="uv is not installed beside this Python")


def uv(*arguments: str | Path) -> None:
    """Run uv; the test fails with its output where uv fails."""
    done = subprocess.run([UV, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def build(project: Path, directory: Path, *options: str) -> None:
    """Build with the build backend that the pins install."""
    uv("build", *options, "--no-build-isolation", "--python", sys.executable, "--out-dir", directory, project)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist of each project, and the wheel that was built from that sdist."""
    directory = tmp_path_factory.mktemp("dist")
    for project in PROJECTS.values():
        build(project, directory)
    return directory


def wheel(dist: Path, name: str) -> Path:
    """The wheel of that project."""
    return dist / f"{name}-{__version__}-py3-none-any.whl"


def files_of(dist: Path, name: str) -> set[str]:
    """Paths of the files in the wheel, without its metadata."""
    with zipfile.ZipFile(wheel(dist, name)) as archive:
        return {path for path in archive.namelist() if ".dist-info/" not in path}


def metadata_of(dist: Path, name: str) -> Message:
    """The wheel's core metadata."""
    with zipfile.ZipFile(wheel(dist, name)) as archive:
        return BytesParser().parsebytes(archive.read(f"{name}-{__version__}.dist-info/METADATA"))


def files_in_checkout(*folders: str) -> set[str]:
    """Paths of the files that git knows or would add under these folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {path for path in listed.stdout.splitlines() if (ROOT / path).exists()}


def test_both_distributions_and_the_openapi_document_have_one_version(dist: Path) -> None:
    versions = [metadata_of(dist, name)["Version"] for name in PROJECTS]
    assert [*versions, create_app(Settings()).openapi()["info"]["version"]] == [__version__] * 3


def test_the_server_needs_a_client_that_is_not_older(dist: Path) -> None:
    required = metadata_of(dist, "framewise_server").get_all("Requires-Dist", [])
    assert [each for each in required if each.startswith("framewise")] == [f"framewise<2,>={__version__}"]


def test_a_bound_of_the_client_is_the_bound_of_the_server() -> None:
    client, server = (tomllib.loads((path / "pyproject.toml").read_text())["project"] for path in PROJECTS.values())
    extras = server["optional-dependencies"]
    requirements = {*server["dependencies"], *extras["batch"], *extras["train"]}
    used_by_client_only = {"typer>=0.16,<1"}
    needed = {*client["dependencies"], *client["optional-dependencies"]["annotate"]}
    assert needed - requirements == used_by_client_only


def test_the_wheel_of_the_client_holds_its_package_and_nothing_else(dist: Path) -> None:
    not_installed = {"framewise/LICENSE", "framewise/README.md", "framewise/pyproject.toml"}
    assert files_of(dist, "framewise") == files_in_checkout("framewise") - not_installed


def test_the_wheel_of_the_server_holds_its_packages_and_their_data(dist: Path) -> None:
    files = files_of(dist, "framewise_server")
    assert files == files_in_checkout("service", "model_training")
    assert {
        "service/page/index.html",
        "service/documentation/examples.json",
        "service/jobs/persistence/migrations/versions/0001_jobs.py",
    } <= files


@pytest.mark.parametrize("name", list(PROJECTS))
def test_the_wheel_from_the_tree_is_the_wheel_from_the_sdist(name: str, dist: Path, tmp_path: Path) -> None:
    build(PROJECTS[name], tmp_path, "--wheel")
    assert wheel(tmp_path, name).read_bytes() == wheel(dist, name).read_bytes()


@pytest.mark.parametrize("name", list(PROJECTS))
def test_every_distribution_holds_its_licence(name: str, dist: Path) -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    with zipfile.ZipFile(wheel(dist, name)) as archive:
        assert archive.read(f"{name}-{__version__}.dist-info/licenses/LICENSE") == licence
    with tarfile.open(dist / f"{name}-{__version__}.tar.gz") as sdist:
        packed = sdist.extractfile(f"{name}-{__version__}/LICENSE")
        assert packed is not None
        assert packed.read() == licence


@pytest.fixture(scope="module")
def client_bin(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the client's wheel and its dependencies."""
    venv = tmp_path_factory.mktemp("client") / "venv"
    uv("venv", "--python", sys.executable, venv)
    command: list[str | Path] = [UV, "pip", "install", "--python", venv / "bin/python", wheel(dist, "framewise")]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Failed to fetch" in installed.stderr or "network was disabled" in installed.stderr:
        pytest.skip("the package index cannot be reached")
    assert installed.returncode == 0, installed.stderr
    return venv / "bin"


@pytest.fixture(scope="module")
def server_python(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with both wheels, which borrows the dependencies of this environment."""
    venv = tmp_path_factory.mktemp("server") / "venv"
    uv("venv", "--python", sys.executable, venv)
    python = venv / "bin" / "python"
    wheels = [wheel(dist, name) for name in PROJECTS]
    uv("pip", "install", "--no-deps", "--python", python, *wheels)
    site_packages = venv / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # Python does not run the .pth files of a folder that is added so: the checkout is not importable.
    (site_packages / "dependencies.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path))
    return python


def test_the_client_runs_alone(client_bin: Path) -> None:
    shown = subprocess.run([client_bin / "framewise", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"framewise {__version__}\n"
    refused = subprocess.run(
        [client_bin / "framewise", "annotate", ROOT / "samples" / "jump.mp4", "annotated.mp4"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "pip install 'framewise[annotate]'" in " ".join(refused.stderr.split())


@pytest.mark.tensorflow
def test_the_installed_client_gets_a_prediction_from_the_installed_server(
    client_bin: Path, server_python: Path, tmp_path: Path
) -> None:
    code = "import framewise, service; print(framewise.__file__, service.__file__)"
    found = subprocess.run([server_python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [Path(path).is_relative_to(server_python.parents[1]) for path in found.stdout.split()] == [True, True]

    with running_service(
        ROOT / "models", tmp_path, installed_python=server_python, models_at_start='["events"]'
    ) as service:
        predicted = subprocess.run(
            [client_bin / "framewise", "predict", ROOT / "samples" / "jump.mp4", "--json", "--model", "events"],
            env={"FRAMEWISE_URL": service.url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert service.client.get("/").status_code == 200
        assert service.client.get("/docs").status_code == 200
    assert predicted.returncode == 0, predicted.stderr
    prediction = json.loads(predicted.stdout)["prediction"]
    sample = json.loads((ROOT / "samples" / "sample.json").read_text())
    assert prediction["label"] == sample["label"]
