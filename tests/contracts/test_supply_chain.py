"""What is installed is what was pinned, and is listed with its licence."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import yaml

from framewise.version import __version__
from tests.support.image_registry import DIGEST, image_registry

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
DOCKER = shutil.which("docker")
CREATE_VENV = "create_venv.py"
PIN_BASE_IMAGE = REQUIREMENTS / "pin_base_image.py"
PINS = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
LICENCES = tomllib.loads((REQUIREMENTS / "licences.toml").read_text())


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The output of a program that may fail."""
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=300
    )


def normal(name: str) -> str:
    """The name of a package as all tools compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_installation_of_a_package_compares_hashes() -> None:
    planned = run("make", "--dry-run", "--always-make", "install", "test-kserve", "VENV=/tmp/no-such-environment")
    assert planned.returncode == 0, planned.stderr
    installs = [line for line in planned.stdout.splitlines() if "pip install" in line]
    assert len(installs) >= 6
    of_this_checkout = [line for line in installs if "--editable" in line]
    assert all("--no-deps --no-build-isolation" in line for line in of_this_checkout)
    assert all("--require-hashes" in line for line in installs if line not in of_this_checkout)
    # A package that is built must not fetch its build tools without a hash.
    assert all("--no-build-isolation" in line for line in installs if "weights.txt" in line)
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    assert all("--require-hashes" in line for line in re.findall(r".*\bpip\b.* install .*", dockerfile))


def test_the_installer_itself_is_refused_if_its_hash_differs(tmp_path: Path) -> None:
    shutil.copy(REQUIREMENTS / CREATE_VENV, tmp_path)
    pins = (REQUIREMENTS / "uv.txt").read_text()
    (tmp_path / "uv.txt").write_text(re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", pins))
    created = run(sys.executable, tmp_path / CREATE_VENV, tmp_path / "venv")
    assert created.returncode == 1
    if "No matching distribution" in created.stderr and "from versions: none" in created.stderr:
        pytest.skip("the package index cannot be reached")
    assert "DO NOT MATCH THE HASHES" in created.stderr
    assert not (tmp_path / "venv").exists()


def test_the_installer_is_pinned_for_every_platform() -> None:
    pins = (REQUIREMENTS / "uv.txt").read_text()
    assert [name for name, _ in PINS.findall(pins)] == ["uv"]
    # Wheels for Linux, macOS and Windows on several processors, and the source.
    assert pins.count("--hash=sha256:") > 10


def test_one_image_comes_from_elsewhere_and_one_line_names_it() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", dockerfile, re.MULTILINE)
    names = {name for _, name in stages if name}
    (base,) = [image for image, _ in stages if image not in names]
    assert re.fullmatch(r"python:3\.\d+-slim(@sha256:[0-9a-f]{64})?", base)
    assert f'base.name="docker.io/library/{base.partition("@")[0]}"' in dockerfile


def test_the_labels_of_the_image_name_this_version_and_repository() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\S+)="([^"]*)"', dockerfile))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels["version"] == __version__
    assert labels["source"] == project["urls"]["Source"]
    assert labels["licenses"] == project["license"]
    assert {"title", "description", "revision", "url", "documentation", "vendor", "base.name"} <= set(labels)


def has_compose() -> bool:
    """Whether Compose is installed; it needs no running engine to resolve a file."""
    return DOCKER is not None and run(DOCKER, "compose", "version").returncode == 0


@pytest.mark.skipif(not has_compose(), reason="Compose is not installed")
@pytest.mark.parametrize(
    ("settings", "address", "key_file"),
    [
        ({}, "127.0.0.1", ""),
        ({"SERVICE_API_KEYS_FILE": "/keys/mine.json"}, "127.0.0.1", "/keys/mine.json"),
        ({"SERVICE_PUBLISHED_ADDRESS": "0.0.0.0"}, "0.0.0.0", "/keys/keys.json"),  # noqa: S104 - the case under test
        (
            {"SERVICE_PUBLISHED_ADDRESS": "10.0.0.1", "SERVICE_API_KEYS_FILE": "/keys/mine.json"},
            "10.0.0.1",
            "/keys/mine.json",
        ),
    ],
    ids=["by default", "with keys", "published", "published with other keys"],
)
def test_compose_publishes_to_other_machines_only_with_keys(
    settings: dict[str, str], address: str, key_file: str
) -> None:
    assert DOCKER is not None
    resolved = run(DOCKER, "compose", "config", "--format", "json", SERVICE_PUBLISHED_PORT="8000", **settings)
    assert resolved.returncode == 0, resolved.stderr
    service = json.loads(resolved.stdout)["services"]["framewise"]
    assert [port["host_ip"] for port in service["ports"]] == [address]
    assert service["environment"]["SERVICE_API_KEYS_FILE"] == key_file


def test_compose_names_loopback_as_the_default_address_of_every_port() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    ports = [port for service in compose["services"].values() for port in service["ports"]]
    assert ports
    assert all(port.startswith("${SERVICE_PUBLISHED_ADDRESS:-127.0.0.1}:") for port in ports)


@pytest.mark.skipif(
    DOCKER is None or run(DOCKER or "", "buildx", "version").returncode != 0, reason="docker buildx is not installed"
)
def test_the_base_image_is_pinned_to_the_digest_that_the_registry_states(tmp_path: Path) -> None:
    with image_registry("python", "3.13-slim") as registry:
        dockerfile = tmp_path / "Dockerfile"
        # The second run renews a digest.
        for digest in ("", f"@sha256:{'0' * 64}"):
            dockerfile.write_text(f"FROM {registry}/python:3.13-slim{digest} AS base\n\nFROM base\nRUN true\n")
            pinned = run(sys.executable, PIN_BASE_IMAGE, dockerfile)
            assert (pinned.returncode, pinned.stderr) == (0, "")
            expected = f"FROM {registry}/python:3.13-slim@{DIGEST} AS base\n\nFROM base\nRUN true\n"
            assert dockerfile.read_text() == expected
        checked = run(sys.executable, PIN_BASE_IMAGE, "--check", dockerfile)
        assert (checked.returncode, checked.stdout) == (0, f"{registry}/python:3.13-slim@{DIGEST}\n")
        dockerfile.write_text(before := f"FROM {registry}/python:none AS base\n")
        failed = run(sys.executable, PIN_BASE_IMAGE, dockerfile)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"the registry states no digest for {registry}/python:none: ")
    assert dockerfile.read_text() == before


def test_a_base_image_without_a_digest_is_reported_with_the_command_that_pins_it(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM python:3.13-slim AS base\n")
    checked = run(sys.executable, PIN_BASE_IMAGE, "--check", dockerfile)
    assert checked.returncode == 1
    assert checked.stderr == "Dockerfile names python:3.13-slim without a digest. Run: make pin-base\n"


@pytest.fixture(scope="module")
def server_list(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The list of the server; the script validates it against the schema."""
    directory = tmp_path_factory.mktemp("sbom")
    written = run(sys.executable, REQUIREMENTS / "sbom.py", directory)
    assert written.returncode == 0, written.stderr
    bom: dict[str, Any] = json.loads((directory / "framewise-server.cdx.json").read_text())
    return bom


def test_the_list_of_components_has_every_installed_pin_with_version_and_licence(server_list: dict[str, Any]) -> None:
    listed = {normal(component["name"]): component for component in server_list["components"]}
    expected = {"framewise": __version__}
    for name, version in PINS.findall((REQUIREMENTS / "serve.txt").read_text()):
        try:
            distribution(name)
        except PackageNotFoundError:
            continue  # of another platform
        expected[normal(name)] = version
    assert len(expected) > 50
    assert {name: component["version"] for name, component in listed.items()} == expected
    for name, component in listed.items():
        assert component["licenses"], name
        assert component["purl"] == f"pkg:pypi/{name}@{component['version']}"
    root = server_list["metadata"]["component"]
    assert (root["name"], root["version"]) == ("framewise-server", __version__)


@pytest.mark.skipif(sys.platform != "linux", reason="the wheels of other systems contain other files")
def test_the_list_of_components_has_every_shared_library_that_a_package_brings(server_list: dict[str, Any]) -> None:
    listed = {
        part["properties"][0]["value"]: part
        for component in server_list["components"]
        for part in component.get("components", [])
        if "properties" in part
    }
    pinned = {normal(name) for name, _ in PINS.findall((REQUIREMENTS / "serve.txt").read_text())}
    site_packages = Path(str(distribution("numpy").locate_file("")))
    brought = {
        str(file.relative_to(site_packages))
        for folder in site_packages.glob("*.libs")
        if normal(folder.name.removesuffix(".libs")) in pinned
        for file in folder.iterdir()
    }
    assert len(brought) > 40
    assert brought == set(listed)
    assert all(part["hashes"][0]["alg"] == "SHA-256" for part in listed.values())
    assert {part["name"] for part in listed.values()} >= {"libx264", "libx265", "libavcodec", "libpq"}


def test_the_notice_names_every_copyleft_library_and_package(server_list: dict[str, Any]) -> None:
    notice = (ROOT / "NOTICE").read_text()
    copyleft = re.compile(r"GPL|MPL")
    for package, libraries in LICENCES["libraries"].items():
        named = [name for name, licence in libraries.items() if copyleft.search(licence)]
        for name in named:
            assert re.search(rf"\b{name}\b", notice), f"{package}: {name}"
        if named:
            assert f"`{package}`" in notice
    for component in server_list["components"]:
        licences = json.dumps(component["licenses"])
        if copyleft.search(licences):
            assert f"`{component['name']}`" in notice, component["name"]


def test_the_licence_file_names_no_library_that_is_not_there(server_list: dict[str, Any]) -> None:
    brought = {
        (normal(component["name"]), part["name"])
        for component in server_list["components"]
        for part in component.get("components", [])
    }
    for package, libraries in LICENCES["libraries"].items():
        if package == "openvino":
            continue  # in the pins of the other engine
        for start in libraries:
            assert any(name == package and library.startswith(start) for name, library in brought), start


def test_the_search_for_vulnerabilities_reads_every_pin_of_every_file() -> None:
    planned = run("make", "--dry-run", "audit").stdout.replace("\\\n", "")
    (command,) = [line.split() for line in planned.splitlines() if "pip-audit" in line]
    files = sorted(str(file.relative_to(ROOT)) for file in REQUIREMENTS.glob("*.txt"))
    assert [word for word in command if word.endswith(".txt")] == files
    assert {"--strict", "--require-hashes"} <= set(command)
    read = run(sys.executable, "-m", "pip_audit", "--dry-run", *command[1:])
    assert read.returncode == 0, read.stderr
    count = re.search(r"would have audited (\d+) packages", read.stderr)
    assert count is not None
    pins = [line for file in files for line in (ROOT / file).read_text().splitlines() if PINS.match(line)]
    names = {normal(line.partition("==")[0]) for line in pins}
    of_some_platforms = {normal(line.partition("==")[0]) for line in pins if " ; " in line}
    assert len(names - of_some_platforms) <= int(count[1]) <= len(names)


def test_the_public_workflow_searches_for_vulnerabilities_and_writes_the_lists() -> None:
    workflows = ROOT / ".github" / "workflows"
    audit = yaml.safe_load((workflows / "audit.yml").read_text())
    # YAML reads the key `on` as true.
    assert {"push", "pull_request", "schedule"} <= set(audit[True])
    assert [step.get("run") for step in audit["jobs"]["audit"]["steps"]][-1] == "make audit"
    release = (workflows / "release.yml").read_text()
    assert "- run: make sbom\n" in release
    assert "- run: make check-base\n" in release
