"""`make demo` on an unsuitable machine prints one line with the remedy, and leaves no directory behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

# This Python, after it has executed one statement.
STUB = """#!/bin/sh
exec {python} -c 'import runpy, sys; {difference}; sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")' "$@"
"""


def python_with(difference: str, tmp_path: Path) -> Path:
    """A program that runs a script on this Python after the statement `difference`."""
    stub = tmp_path / "python3"
    stub.write_text(STUB.format(python=sys.executable, difference=difference))
    stub.chmod(0o755)
    return stub


def make_demo(python: Path, venv: Path, **environment: str) -> list[str]:
    """The output lines of a failing `make demo`, without the last line of make itself."""
    done = subprocess.run(
        ["make", "--no-print-directory", "demo", f"PYTHON={python}", f"VENV={venv}"],  # noqa: S607
        cwd=ROOT,
        env={**{name: value for name, value in os.environ.items() if not name.startswith("MAKE")}, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout
    return [line for line in done.stdout.splitlines() if not line.startswith("make: ***")]


@pytest.mark.parametrize(
    ("version", "reason"),
    [((3, 14, 0), "TensorFlow has no release for it"), ((3, 10, 13), "it is older than 3.11")],
    ids=["3.14", "3.10"],
)
def test_an_unsupported_python_gets_a_message_that_names_the_supported_ones(
    version: tuple[int, int, int], reason: str, tmp_path: Path
) -> None:
    python = python_with(f"sys.version_info = {(*version, 'final', 0)}".replace("'", '"'), tmp_path)
    # The message can suggest only this Python, the only other one on PATH.
    (tmp_path / "python3.12").touch()
    (line,) = make_demo(python, tmp_path / "venv", PATH=f"{tmp_path}:/usr/bin:/bin")
    start = f"Python {'.'.join(map(str, version))} is not supported: {reason}. Use Python 3.11, 3.12 or 3.13: "
    assert line.startswith(start)
    assert line.removeprefix(start).startswith("make demo PYTHON=python3.")
    assert not (tmp_path / "venv").exists()


def test_a_python_without_venv_gets_the_command_that_installs_it(tmp_path: Path) -> None:
    """Regression: Debian's `python3 -m venv` left an incomplete environment and many lines of output."""
    python = python_with('sys.modules["ensurepip"] = None', tmp_path)
    (line,) = make_demo(python, tmp_path / "venv")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert line.startswith(f"Python {version} cannot create virtual environments")
    if Path("/etc/debian_version").exists():
        assert line.endswith(f"apt install python{version}-venv")
    assert not (tmp_path / "venv").exists()


def test_a_missing_python_leaves_no_directory(tmp_path: Path) -> None:
    assert len(make_demo(tmp_path / "python3.99", tmp_path / "venv")) == 1
    assert not (tmp_path / "venv").exists()


def test_an_environment_that_cannot_be_filled_is_removed(tmp_path: Path) -> None:
    lines = make_demo(Path(sys.executable), tmp_path / "venv", PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert lines[-1].startswith("This command failed, its reason is above: ")
    assert not (tmp_path / "venv").exists()


def test_an_existing_directory_is_kept(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "notes").write_text("mine")
    make_demo(Path(sys.executable), tmp_path / "venv", PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert (tmp_path / "venv" / "notes").read_text() == "mine"


def test_packages_are_installed_into_the_environment_of_make_even_if_another_is_active(tmp_path: Path) -> None:
    """Without `--python`, uv installs into the active environment, or into `.venv`."""
    planned = subprocess.run(
        ["make", "--dry-run", "test-core", f"VENV={tmp_path / 'venv'}"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    installs = [line for line in planned.stdout.splitlines() if "uv pip install" in line]
    assert len(installs) >= 4
    assert all(f"--python {tmp_path / 'venv'}/bin/python " in line for line in installs)
