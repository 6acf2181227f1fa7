"""Importing OpenVINO starts no process and sends nothing."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
def report(event, _):
    if event in {"os.fork", "os.posix_spawn", "subprocess.Popen", "socket.getaddrinfo", "socket.connect"}:
        print(event, flush=True)
sys.addaudithook(report)
import service.inference.openvino_engine as engine
engine.openvino.Core()
from openvino.tools import ovc
"""


def test_the_openvino_engine_sends_no_usage_data() -> None:
    """Regression: OpenVINO forked the service to send usage data, and left a zombie."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == ""
