"""The client package: its imports, its generated module, its multipart form."""

import subprocess
import sys
from pathlib import Path

import pytest

import framewise
from framewise.client.multipart import VideoForm
from tests.client.sync_client import SYNC_CLIENT, sync_client


@pytest.mark.parametrize("module", ["framewise", "service.client", "framewise.cli.app"])
def test_the_client_imports_no_server_library(module: str) -> None:
    heavy = {"fastapi", "starlette", "uvicorn", "tensorflow", "av", "cv2", "numpy", "service.video.sandbox"}
    script = f"import sys, {module}; print(*({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_the_public_names_are_those_of_the_client() -> None:
    assert framewise.__all__ == ["AsyncClient", "Client", "ProblemError", "ServiceUnreachable"]


def test_the_package_is_marked_as_typed() -> None:
    assert (Path(framewise.__file__).parent / "py.typed").exists()


def test_the_synchronous_client_is_generated_from_the_asynchronous_one() -> None:
    assert SYNC_CLIENT.read_text(encoding="utf-8") == sync_client(), "run: python -m tests.client.sync_client"


def test_the_content_length_of_a_form_is_its_length(ramp: Path) -> None:
    form = VideoForm(ramp)
    body = b"".join(form.chunks())
    assert len(body) == int(form.headers["Content-Length"])
    assert body.count(b'name="video"; filename="a %22ramp%22') == 1
