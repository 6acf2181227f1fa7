"""The alert rules are valid, and fire and stay quiet as their unit tests state, by Prometheus' own tool."""

import shutil
import subprocess
from pathlib import Path

import pytest

MONITORING = Path(__file__).parents[2] / "monitoring"
PROMTOOL = shutil.which("promtool")

pytestmark = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)


@pytest.mark.parametrize(("command", "file"), [("check", "alerts.yml"), ("test", "alerts_test.yml")])
def test_promtool_accepts_the_alert_rules(command: str, file: str) -> None:
    given = [str(PROMTOOL), command, "rules", str(MONITORING / file)]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
