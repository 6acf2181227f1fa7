"""Runs training commands, each in its own process, as a user does."""

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

ENVIRONMENT = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONWARNINGS": "default"}


def command(*arguments: object) -> Sequence[str]:
    """The command line of `python -m model_training` with these arguments."""
    return [sys.executable, "-m", "model_training", *map(str, arguments)]


def run(*arguments: object, max_file_kilobytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. A file size limit simulates a full disk."""
    whole, environment = command(*arguments), ENVIRONMENT
    if max_file_kilobytes is not None:
        whole = ["bash", "-c", f'ulimit -f {max_file_kilobytes}; exec "$@"', "bash", *whole]
        # The limit would also hit the file that a measured process writes its coverage to.
        environment = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(whole, capture_output=True, text=True, env=environment, check=False)


def interrupted(sign: str, *arguments: object, exit_codes: Collection[int] = (130, -signal.SIGINT)) -> list[str]:
    """The standard error of a command that gets SIGINT once it has printed `sign`."""
    process = subprocess.Popen(
        command(*arguments), stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True
    )
    assert process.stderr is not None
    with process.stderr as lines:
        said = []
        for line in lines:
            said.append(line.rstrip())
            if sign in line:
                break
        else:
            raise AssertionError(f"never said {sign!r}: {said}")
        os.killpg(process.pid, signal.SIGINT)
        said += [line.rstrip() for line in lines]
    # Python ends by the signal itself where it came while code was being compiled, and with 130 elsewhere.
    assert process.wait() in exit_codes, said
    return said


def places(work: Path) -> tuple[object, ...]:
    """The directories for models and checkpoints."""
    return ("--out", work / "models", "--runs", work / "runs")
