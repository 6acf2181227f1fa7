"""HTTP parsing with limits that httptools and uvicorn do not have.

- The head of a request: httptools reads an endless head.
- The rest of a body after its response: uvicorn reads it at any pace and of any length. This protocol discards it,
  so that a client that sends its whole body first can then read the response, and closes the connection at the limit.
- The time for which a client does not read a response: uvicorn waits indefinitely.
"""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 1 << 16
MAX_HEAD_SECONDS = 20.0
MAX_REST_BYTES = 16 << 20
MAX_REST_SECONDS = 5.0
MAX_UNREAD_SECONDS = 30.0


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a head that is too large with 400, and closes connections that exceed a limit."""

    max_head_seconds: ClassVar[float] = MAX_HEAD_SECONDS
    max_rest_seconds: ClassVar[float] = MAX_REST_SECONDS
    max_rest_bytes: ClassVar[int] = MAX_REST_BYTES
    max_unread_seconds: ClassVar[float] = MAX_UNREAD_SECONDS

    _num_head_bytes = 0
    _num_rest_bytes = 0
    _is_in_head = True
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit for the first head."""
        super().connection_made(transport)
        self._set_deadline(self.max_head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._set_deadline(None)
        self._stop_unread_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse data, unless the head is too large."""
        if self._is_in_head and self._deadline is None:
            self._set_deadline(self.max_head_seconds)
        self._num_head_bytes += len(data)
        # The callbacks below reset the count at the end of a head.
        super().data_received(data)
        if self._num_head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        """Stop the time limit for the head."""
        self._is_in_head = False
        self._set_deadline(None)
        super().on_headers_complete()
        self._num_head_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Count the bytes of a body whose response was already sent; close the connection at the limit."""
        super().on_body(body)
        self._num_head_bytes = 0
        if self.cycle.response_complete:
            self._num_rest_bytes += len(body)
            if self._num_rest_bytes > self.max_rest_bytes:
                self.transport.close()

    def on_response_complete(self) -> None:
        """Start the time limit for the rest of the body, if the response was sent before the body's end."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._set_deadline(self.max_rest_seconds)

    def on_message_complete(self) -> None:
        """Prepare for the next head; keep the connection alive if the rest of a body was discarded."""
        is_rest = self.cycle.response_complete
        super().on_message_complete()
        self._num_head_bytes = self._num_rest_bytes = 0
        self._is_in_head = True
        if is_rest:
            self.cycle.more_body = False
            self._set_deadline(None)
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def pause_writing(self) -> None:
        """Start the time limit for a client that does not read its response."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """Stop that time limit: the client has read almost all of the response."""
        self._stop_unread_timer()
        super().resume_writing()

    def _expect_reading(self) -> None:
        """Abort the connection if the client reads nothing until the limit; `close` would wait for the client."""
        num_unread = self.transport.get_write_buffer_size()

        def check() -> None:
            if self.transport.get_write_buffer_size() < num_unread:
                self._expect_reading()
            else:
                self.transport.abort()

        self._unread = self.loop.call_later(self.max_unread_seconds, check)

    def _stop_unread_timer(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _set_deadline(self, seconds: float | None) -> None:
        """Close the connection after `seconds`; None removes the deadline."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._on_deadline)

    def _on_deadline(self) -> None:
        self._deadline = None
        # Some clients send an empty line after a body. It starts no head, so the response must still be sent.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
