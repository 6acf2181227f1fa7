"""Retries: which requests, after how long, and how often. The service has a single upload slot."""

import http.server
import socket
import threading
import time
from pathlib import Path

import pytest

from framewise.client import Client, ProblemError, ServiceUnreachable
from tests.support.narrow_terminal import slot_taken
from tests.support.running_service import RunningService, running_service

pytestmark = pytest.mark.tensorflow


class Attempts:
    """Progress callback that counts the starts of an upload."""

    def __init__(self) -> None:
        self.num_started = 0

    def __call__(self, num_sent: int, _num_bytes: int) -> None:
        """Count the call if it reports the start of an upload."""
        self.num_started += num_sent == 0


def test_a_busy_service_gets_a_retry_after_its_retry_after(narrow_service: RunningService, dark: Path) -> None:
    attempts = Attempts()
    with slot_taken(narrow_service) as holder, Client(narrow_service.url) as client:

        def free_the_slot_at_the_second_attempt(num_sent: int, num_bytes: int) -> None:
            attempts(num_sent, num_bytes)
            if attempts.num_started == 2:
                holder.close()

        started_at = time.monotonic()
        prediction = client.predict(dark, on_progress=free_the_slot_at_the_second_attempt)
    assert prediction.prediction.label == "dark"
    assert attempts.num_started >= 2
    assert time.monotonic() - started_at >= 1


def test_retries_end_after_max_attempts(narrow_service: RunningService, dark: Path) -> None:
    attempts = Attempts()
    with (
        slot_taken(narrow_service),
        Client(narrow_service.url, max_attempts=2) as client,
        pytest.raises(ProblemError) as caught,
    ):
        client.predict(dark, on_progress=attempts)
    assert (caught.value.status, caught.value.code) == (429, "busy")
    assert attempts.num_started == 2


def test_a_retry_after_above_the_maximum_wait_is_raised(narrow_service: RunningService, dark: Path) -> None:
    attempts = Attempts()
    with (
        slot_taken(narrow_service),
        Client(narrow_service.url, max_wait_seconds=0.5) as client,
        pytest.raises(ProblemError) as caught,
    ):
        client.predict(dark, on_progress=attempts)
    assert caught.value.retry_after_seconds is not None
    assert caught.value.retry_after_seconds >= 1
    assert attempts.num_started == 1


def test_a_refused_video_is_not_sent_again(narrow_service: RunningService, not_a_video: Path) -> None:
    attempts = Attempts()
    with Client(narrow_service.url) as client, pytest.raises(ProblemError):
        client.predict(not_a_video, on_progress=attempts)
    assert attempts.num_started == 1


def test_the_client_waits_for_a_starting_service(grey_models_dir: Path, tmp_path: Path, dark: Path) -> None:
    attempts = Attempts()
    with (
        running_service(grey_models_dir, tmp_path, until_ready=False) as service,
        Client(service.url, max_attempts=20) as client,
    ):
        assert client.health().state == "starting"
        assert client.predict(dark, on_progress=attempts).prediction.label == "dark"
    assert attempts.num_started >= 2


def test_an_incomplete_response_raises_service_unreachable(dark: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")

        thread = threading.Thread(target=hang_up)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url) as client, pytest.raises(ServiceUnreachable, match="No response from"):
            client.predict(dark)
        thread.join()


@pytest.mark.parametrize("status", [200, 502])
def test_the_response_of_another_server_is_a_problem_error(status: int) -> None:
    class OtherServer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b"<p>Hi</p>")

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), OtherServer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with Client(f"http://127.0.0.1:{server.server_port}") as client, pytest.raises(ProblemError) as caught:
            client.models()
        thread.join()
    assert caught.value.code == f"http_{status}"
