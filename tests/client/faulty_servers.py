"""Servers that do not answer as a service does."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def tcp_server(respond: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server that calls `respond` with each connection and an event for the end; yields its URL."""
    is_over = threading.Event()
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            respond(connection, is_over)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept, args=(listener,))
        acceptor.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            is_over.set()
            listener.shutdown(socket.SHUT_RDWR)
    for thread in (acceptor, *threads):
        thread.join()


def stay_silent(connection: socket.socket, is_over: threading.Event) -> None:
    """Read the request and never respond."""
    connection.settimeout(0.1)
    while not is_over.is_set():
        with suppress(TimeoutError):
            if not connection.recv(1 << 16):
                return


def trickle(connection: socket.socket, is_over: threading.Event) -> None:
    """Send the body of a response byte by byte, without an end."""
    connection.recv(1 << 16)
    connection.sendall(HEAD)
    while not is_over.wait(0.05):
        connection.sendall(b" ")
