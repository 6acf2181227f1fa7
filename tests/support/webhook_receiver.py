"""A webhook receiver: an HTTP server that records requests and responds with set statuses."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """Responds with `statuses` in turn, then always with the last."""

    port: int
    statuses: list[int]
    received: "queue.Queue[tuple[dict[str, str], bytes]]" = field(default_factory=queue.Queue)

    @property
    def url(self) -> str:
        """The URL of the receiver."""
        return f"http://localhost:{self.port}/hook"

    @property
    def host(self) -> str:
        """The host and port for the allow-list."""
        return f"localhost:{self.port}"


@contextmanager
def running_receiver(*statuses: int, location: str = "/elsewhere") -> Iterator[Receiver]:
    """Listen on a free port for the length of the context; every response has this `Location`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.received.put(({name.lower(): value for name, value in self.headers.items()}, body))
            status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
            self.send_response(status)
            self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    receiver = Receiver(server.server_address[1], list(statuses))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
