"""An HTTP server whose responses a test sets: a remote host from which the service fetches videos."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Responder = Callable[["FileRequestHandler"], None]


class FileRequestHandler(BaseHTTPRequestHandler):
    """Handles one connection with the responder that is set for the path."""

    protocol_version = "HTTP/1.1"
    server: "FileServer"

    def do_GET(self) -> None:
        """Respond to a GET request."""
        self.server.paths.append(self.path)
        self.server.is_requested.set()
        self.server.responders[self.path](self)

    def send_head(self, status: int, **headers: object) -> None:
        """Send a status line and headers; underscores stand for hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def send_until_cut_off(self, piece: bytes, pause_seconds: float = 0) -> None:
        """Send `piece` repeatedly as a chunked body until the client disconnects."""
        self.send_head(200, Transfer_Encoding="chunked")
        try:
            while not self.server.is_over.wait(pause_seconds):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        except OSError:
            self.server.is_cut_off.set()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


class FileServer(ThreadingHTTPServer):
    """Responds to each path as the test set it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FileRequestHandler)
        self.responders: dict[str, Responder] = {}
        self.paths: list[str] = []
        self.is_requested = threading.Event()
        self.is_cut_off = threading.Event()
        self.is_over = threading.Event()
        self.host = f"127.0.0.1:{self.server_address[1]}"

    def put(self, path: str, responder: Responder) -> str:
        """Respond to `path` with `responder` from now on; returns the URL."""
        self.responders[path] = responder
        return f"http://{self.host}{path}"

    def put_file(self, path: str, content: bytes) -> str:
        """Serve `content` at `path`; returns the URL."""

        def respond(handler: FileRequestHandler) -> None:
            handler.send_head(200, Content_Length=len(content))
            handler.wfile.write(content)

        return self.put(path, respond)

    def put_redirect(self, path: str, location: str, status: int = 302) -> str:
        """Redirect `path` to `location`; returns the URL."""
        return self.put(path, lambda handler: handler.send_head(status, Location=location, Content_Length=0))


@contextmanager
def file_server() -> Iterator[FileServer]:
    """A server for the length of the context."""
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.is_over.set()
            server.shutdown()
            thread.join()
