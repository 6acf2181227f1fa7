"""A virtual environment for each peer, created on first use, so that its packages cannot conflict with ours."""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "benchmarks"
PEERS = ROOT / "benchmarks" / "peers"

_INSTALL_TIMEOUT_SECONDS = 1200


class PeerUnavailable(Exception):
    """A peer cannot be installed or started on this machine; the message states the reason."""


def peer_python(name: str) -> Path:
    """The interpreter of the peer's environment, which holds only its pinned requirements.

    Raises:
        PeerUnavailable: the requirements cannot be installed on this machine.
    """
    requirements = PEERS / name / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    environment = CACHE / "venvs" / name
    python = environment / "bin" / "python"
    stamp = environment / "requirements.sha256"
    if stamp.exists() and stamp.read_text() == digest:
        return python
    print(f"installing {name} into {environment.relative_to(ROOT)}", file=sys.stderr)
    uv = Path(sys.executable).parent / "uv"
    commands: tuple[list[str | Path], ...] = (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment],
        [uv, "pip", "install", "--quiet", "--python", python, "-r", requirements],
    )
    for command in commands:
        try:
            outcome = subprocess.run(  # noqa: S603 - our own command
                command, check=False, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PeerUnavailable(f"cannot be installed: {error}") from error
        if outcome.returncode != 0:
            lines = outcome.stderr.strip().splitlines() or [f"exit status {outcome.returncode}"]
            raise PeerUnavailable(f"cannot be installed: {lines[-1]}")
    stamp.write_text(digest)
    return python
