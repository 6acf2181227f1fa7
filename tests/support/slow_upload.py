"""A request to /predict whose bytes the test sends piece by piece."""

import socket

import httpx

from tests.support.running_service import RunningService


class SlowUpload:
    """A request whose body is sent piece by piece."""

    def __init__(self, service: RunningService, video: bytes, forwarded_for: str | None = None) -> None:
        """`forwarded_for` is the client's address as a proxy states it."""
        head = b'--b\r\nContent-Disposition: form-data; name="video"; filename="v"\r\n\r\n'
        self._body = head + video + b"\r\n--b--\r\n"
        url = httpx.URL(service.url)
        self.socket = socket.create_connection((url.host, url.port or 80), timeout=60)
        self.socket.sendall(
            b"POST /predict HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
            + (b"" if forwarded_for is None else f"X-Forwarded-For: {forwarded_for}\r\n".encode())
            + b"Content-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: " + str(len(self._body)).encode() + b"\r\n\r\n" + self._body[:100]
        )

    def send_rest(self) -> None:
        """Send the rest of the body."""
        self.socket.sendall(self._body[100:])

    def finish(self) -> str:
        """Send the rest and return the response's status line."""
        self.send_rest()
        return self.status_line()

    def status_line(self) -> str:
        """The response's status line; closes the connection."""
        with self.socket, self.socket.makefile("rb") as response:
            return response.readline().decode().strip()

    def leave(self) -> None:
        """Close the connection before the request is complete."""
        self.socket.close()
