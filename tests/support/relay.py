"""A relay to a service whose connection breaks once, after the first event of a job."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Relay:
    """Relays bytes in both directions; `event_requests` are the heads of the relayed requests for events."""

    def __init__(self, url: str) -> None:
        self._target = (urlsplit(url).hostname, urlsplit(url).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._has_cut = False
        self._sockets: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.event_requests: list[bytes] = []

    def run(self) -> None:
        """Relay until closed."""
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                service = socket.create_connection(self._target)
                self._sockets += [caller, service]
                for pass_on in (self._pass_on_questions, self._pass_on_answers):
                    threading.Thread(target=pass_on, args=(caller, service), daemon=True).start()

    def close(self) -> None:
        """Close every connection."""
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _pass_on_questions(self, caller: socket.socket, service: socket.socket) -> None:
        with suppress(OSError):
            while chunk := caller.recv(1 << 16):
                if b"/events HTTP/1.1" in chunk:
                    self.event_requests.append(chunk.lower())
                service.sendall(chunk)
            service.shutdown(socket.SHUT_WR)

    def _pass_on_answers(self, caller: socket.socket, service: socket.socket) -> None:
        with suppress(OSError):
            while chunk := service.recv(1 << 16):
                if b"\nevent: " in chunk and not self._has_cut:
                    self._has_cut = True
                    # The first event goes through whole, whatever the service has sent with it, its last one perhaps.
                    caller.sendall(chunk[: chunk.index(b"\n\n", chunk.index(b"\nevent: ")) + 2])
                    break
                caller.sendall(chunk)
        for one in (caller, service):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def breaking_line(url: str) -> Iterator[Relay]:
    """A relay to the service at `url`."""
    relay = Relay(url)
    thread = threading.Thread(target=relay.run, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.close()
        thread.join()
