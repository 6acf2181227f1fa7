"""KServe's client understands the responses of a running service."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.grey_model import SPEC
from tests.support.running_service import RunningService

pytestmark = [pytest.mark.tensorflow, pytest.mark.kserve]

PYTHON = Path(__file__).parents[2] / ".cache" / "kserve" / "bin" / "python"


def test_the_client_of_kserve_understands_every_response(shared_service: RunningService) -> None:
    if not PYTHON.exists():
        pytest.skip("KServe's client is not installed: `make test-kserve` does that")
    shape = [3, SPEC.num_frames, SPEC.height, SPEC.width, 3]
    command = [str(PYTHON), str(Path(__file__).parent / "ask.py"), shared_service.url, "grey", json.dumps(shape)]
    asked = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    answers = json.loads(asked.stdout.splitlines()[-1])
    assert answers["is_server_live"] is True
    assert answers["is_server_ready"] is True
    assert answers["is_model_ready"] is True
    assert answers["is_unknown_model_ready"] is False
    for kind in ("json", "binary"):
        answer = answers[kind]
        assert (answer["id"], answer["model"]) == ("kserve", "grey")
        assert answer["probabilities"] == [pytest.approx([0.8, 0.2], abs=1e-6)] * 3
        assert answer["attention"] == [pytest.approx([1 / 8] * 8)] * 3
    assert answers["json"]["probabilities"] == answers["binary"]["probabilities"]
