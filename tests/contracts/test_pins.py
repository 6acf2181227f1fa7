"""Every package is pinned to one version: `make check` fails on a fork."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "requirements" / "check_pins.py"


def check_pins(*files: Path) -> subprocess.CompletedProcess[str]:
    """The output and exit status of the script."""
    return subprocess.run([sys.executable, SCRIPT, *files], capture_output=True, text=True, check=False)


def test_the_pins_of_this_repository_have_no_fork() -> None:
    checked = check_pins()
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_pin_that_forks_by_python_version_is_an_error_that_names_both_versions(tmp_path: Path) -> None:
    pins = tmp_path / "serve.txt"
    pins.write_text(
        "av==18.1.0 ; python_full_version < '3.12' \\\n    --hash=sha256:00\n"
        "av==19.0.2 ; python_full_version >= '3.12' \\\n    --hash=sha256:11\n"
        "numpy==2.4.6 \\\n    --hash=sha256:22\n    # via av\n"
    )
    checked = check_pins(pins)
    assert checked.returncode == 1
    assert "av is pinned to several versions: 18.1.0 (serve.txt), 19.0.2 (serve.txt)" in checked.stderr
    assert "numpy" not in checked.stderr


def test_two_files_that_pin_a_package_differently_are_an_error(tmp_path: Path) -> None:
    for name, version in (("one.txt", "2.4.6"), ("other.txt", "2.5.5")):
        (tmp_path / name).write_text(f"numpy=={version} \\\n    --hash=sha256:00\n")
    checked = check_pins(tmp_path / "one.txt", tmp_path / "other.txt")
    assert checked.returncode == 1
    assert "numpy" in checked.stderr


def test_one_library_under_two_names_on_two_platforms_is_no_fork(tmp_path: Path) -> None:
    (tmp_path / "serve.txt").write_text(
        "tensorflow==2.21.0 ; platform_machine != 'x86_64' \\\n    --hash=sha256:00\n"
        "tensorflow-cpu==2.21.0 ; platform_machine == 'x86_64' \\\n    --hash=sha256:11\n"
    )
    assert check_pins(tmp_path / "serve.txt").returncode == 0
