"""A decode worker that fails through a fault of the service is reported as such, not as a broken video.

With PyAV 19, whose `av.open` has one parameter less, each worker ended with a TypeError. The error was discarded, and
the log said of every golden clip: "The video crashed the decoder."
"""

import shutil
from pathlib import Path

import pytest

import service
from tests.support.job_client import log_lines
from tests.support.running_service import running_service, wait_until_not_starting
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow

# Python imports `sitecustomize` at its start; the workers find it by their PYTHONPATH.
FAULT = """
import sys

if "service.video.sandbox.worker" in sys.orig_argv:
    import av

    av_open = av.open

    def faulty_open(file, *arguments, **options):
        if {where!r} in str(getattr(file, "name", file)):
            raise TypeError("open() got an unexpected keyword argument 'metadata_errors'")
        return av_open(file, *arguments, **options)

    av.open = faulty_open
"""


@pytest.fixture
def faulty_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the service to which a test adds a fault; `python -m service` runs this copy."""
    copy = tmp_path / "copy"
    shutil.copytree(Path(service.__file__).parent, copy / "service", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(copy)
    return copy


def test_a_golden_clip_that_no_worker_can_decode_is_reported_as_a_fault_of_the_service(
    grey_models_dir: Path, faulty_copy: Path, tmp_path: Path
) -> None:
    (faulty_copy / "sitecustomize.py").write_text(FAULT.format(where="golden"))
    with running_service(grey_models_dir, tmp_path, until_ready=False) as running:
        assert wait_until_not_starting(running) == "failed"
        health = running.client.get("/health").json()
        (failure,) = [line for line in log_lines(running) if line["message"] == "a decode worker failed"]
    for detail in (health["detail"], health["models"][0]["detail"]):
        assert "golden/ramp.mp4 was not decoded. The decode worker failed: it ended with exit status 1." in detail
        assert "not of the video" in detail
    assert failure["level"] == "error"
    assert failure["exit_status"] == 1
    assert failure["stderr"].endswith("TypeError: open() got an unexpected keyword argument 'metadata_errors'")


def test_a_video_that_no_worker_can_decode_through_a_fault_of_the_service_gets_500(
    grey_models_dir: Path, faulty_copy: Path, tmp_path: Path
) -> None:
    uploads = tmp_path / "uploads-of-this-test"
    uploads.mkdir()
    (faulty_copy / "sitecustomize.py").write_text(FAULT.format(where=uploads.name))
    video = painted(tmp_path / "ramp.mp4", range(0, 160, 10))
    with running_service(grey_models_dir, uploads) as running:
        for path in ("/predict", "/validate"):
            response = running.client.post(path, files={"video": video.read_bytes()})
            assert (response.status_code, response.json()["code"]) == (500, "decoder_failed")
            assert "TypeError" not in response.text
        assert 'outcome="DecoderFailed"' in running.client.get("/metrics").text
        assert running.client.get("/health").json()["state"] == "ready"
