"""Callers that misuse the connection: slow, leaving before the response, larger than allowed."""

import http.client
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Self

import httpx

from tests.support.traffic.sender import BROKEN, Sender

_HEAD = b'--b\r\nContent-Disposition: form-data; name="video"; filename="v"\r\n\r\n'
_TAIL = b"\r\n--b--\r\n"
_LEFT = "left"
_OPERATION = "POST /predict"
# Closing such a socket resets the connection.
_RESET = struct.pack("ii", 1, 0)


class OpenUpload:
    """A request to /predict whose body is sent in pieces. A context manager, which closes the connection."""

    def __init__(self, sender: Sender, video: bytes, *, is_chunked: bool = False) -> None:
        """`is_chunked` leaves out the number of bytes."""
        url = httpx.URL(sender.url)
        self.body = _HEAD + video + _TAIL
        self._connection = http.client.HTTPConnection(url.host, url.port, timeout=sender.deadline_seconds)
        self._headers = sender.headers
        self._is_chunked = is_chunked

    def send_head(self) -> None:
        """Connect, and send the head."""
        self._connection.putrequest("POST", "/predict")
        self._connection.putheader("Content-Type", "multipart/form-data; boundary=b")
        for name, value in self._headers.items():
            self._connection.putheader(name, value)
        if self._is_chunked:
            self._connection.putheader("Transfer-Encoding", "chunked")
        else:
            self._connection.putheader("Content-Length", str(len(self.body)))
        self._connection.endheaders()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, piece: bytes) -> bool:
        """Send a piece of the body; false if the service has closed the connection."""
        try:
            self._connection.send(b"%x\r\n%s\r\n" % (len(piece), piece) if self._is_chunked else piece)
        except ConnectionError:
            return False
        return True

    def end(self) -> None:
        """Send the end of a chunked body."""
        if self._is_chunked:
            try:
                self._connection.send(b"0\r\n\r\n")
            except ConnectionError:
                # The service has responded already.
                return

    def response(self) -> httpx.Response:
        """The response."""
        received = self._connection.getresponse()
        return httpx.Response(received.status, headers=received.getheaders(), content=received.read())

    def reset(self) -> None:
        """Close the connection so that the service gets an error instead of an end."""
        if self._connection.sock is not None:
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._connection.close()


@dataclass
class SlowCaller:
    """Sends a video in pieces, and in every second call pauses until the service gives up (408)."""

    sender: Sender
    video: bytes
    rng: random.Random
    pause_seconds: float
    num_pieces: int = 10
    piece_seconds: float = 0.2

    def call(self) -> None:
        """Send one video."""
        stops_early = self.rng.random() < 1 / 2

        def send(upload: OpenUpload) -> None:
            pieces = _pieces(upload.body, self.num_pieces)
            for piece in pieces[: self.num_pieces // 2] if stops_early else pieces:
                if not upload.send(piece):
                    return
                threading.Event().wait(self.piece_seconds)

        response = _exchange(self.sender, self.video, send)
        if response is not None and stops_early and response.status_code == HTTPStatus.OK:
            self.sender.ledger.violate(self.sender.caller, "half of an upload got a prediction")


@dataclass
class LeavingCaller:
    """Disconnects at a random moment: after the head, within the body, or while it waits for the response."""

    sender: Sender
    video: bytes
    rng: random.Random
    pause_seconds: float

    def call(self) -> None:
        """Send a part of one video, and leave."""
        try:
            with OpenUpload(self.sender, self.video) as upload:
                upload.send_head()
                upload.send(upload.body[: self.rng.choice((0, len(upload.body) // 2, len(upload.body)))])
                threading.Event().wait(self.rng.choice((0, 0.01, 0.1)))
                if self.rng.random() < 1 / 2:
                    upload.reset()
        except OSError:
            # The service has closed first, or does not listen at the moment.
            pass
        self.sender.ledger.record(self.sender.caller, _LEFT)


@dataclass
class OversizedCaller:
    """Sends more bytes than allowed; the response must be a refusal, and must arrive."""

    sender: Sender
    num_bytes: int
    rng: random.Random
    pause_seconds: float

    def call(self) -> None:
        """Send one body."""

        def send(upload: OpenUpload) -> None:
            for piece in _pieces(upload.body, 64):
                if not upload.send(piece):
                    return
            upload.end()

        response = _exchange(self.sender, bytes(self.num_bytes), send, is_chunked=self.rng.random() < 1 / 2)
        if response is not None and not response.is_error:
            self.sender.ledger.violate(self.sender.caller, f"too many bytes got status {response.status_code}")


def _exchange(
    sender: Sender,
    video: bytes,
    send: Callable[[OpenUpload], None],
    *,
    is_chunked: bool = False,
) -> httpx.Response | None:
    """The response to an upload that `send` sends; None if there was none."""
    started_at = time.monotonic()
    try:
        with OpenUpload(sender, video, is_chunked=is_chunked) as upload:
            upload.send_head()
            send(upload)
            response = upload.response()
    except (OSError, http.client.HTTPException) as error:
        if sender.has_ended(started_at):
            sender.ledger.record(sender.caller, BROKEN)
            return None
        sender.ledger.record(sender.caller, "no response")
        sender.ledger.violate(sender.caller, "an upload got no response", f"{len(video)} bytes: {error!r}")
        return None
    sender.check(_OPERATION, response, time.monotonic() - started_at)
    return response


def _pieces(body: bytes, number: int) -> Sequence[bytes]:
    size = max(1, -(-len(body) // number))
    return [body[start : start + size] for start in range(0, len(body), size)]
