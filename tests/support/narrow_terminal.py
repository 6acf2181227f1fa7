"""Fills a service that accepts one upload at a time."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.support.running_service import RunningService


@contextmanager
def slot_taken(service: RunningService) -> Iterator[socket.socket]:
    """Hold the only upload slot with an upload that stalls; closing the connection frees the slot."""
    place = urlsplit(service.url)
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
        )
        # The service asks for the body once it has given the place.
        assert connection.recv(64).startswith(b"HTTP/1.1 100")
        yield connection
