"""HTTP parsing with bounds on what belongs to no request that is worked on: its head, and the rest of a refused body.

httptools itself reads a head that never ends, and uvicorn reads, at any pace and of any length, the body of
a request that was answered before its end. What comes on such a body is thrown away here, so that a client
that sends it all before it reads gets to see the answer; beyond the bounds the connection is closed.

Nor does uvicorn ever leave a client that does not read its answer: that is bounded here too.
"""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 1 << 16
MAX_HEAD_SECONDS = 20.0
MAX_REST_BYTES = 16 << 20
MAX_REST_SECONDS = 5.0
MAX_UNREAD_SECONDS = 30.0


class BoundedHead(HttpToolsProtocol):
    """Refuses a head without end with 400, and ends the connection of who sends without end or never reads."""

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
        """Somebody has come, and is expected to say what for."""
        super().connection_made(transport)
        self._close_in(self.max_head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """They have left."""
        self._close_in(None)
        self._forget_unread()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless it is too much of a head."""
        if self._is_in_head and self._deadline is None:
            self._close_in(self.max_head_seconds)
        self._num_head_bytes += len(data)
        # What ends a head, or follows one, sets the count back from in there.
        super().data_received(data)
        if self._num_head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_headers_complete(self) -> None:
        """The head has ended."""
        self._is_in_head = False
        self._close_in(None)
        super().on_headers_complete()
        self._num_head_bytes = 0

    def on_body(self, body: bytes) -> None:
        """What came was no head."""
        super().on_body(body)
        self._num_head_bytes = 0
        if self.cycle.response_complete:
            self._num_rest_bytes += len(body)
            if self._num_rest_bytes > self.max_rest_bytes:
                self.transport.close()

    def on_response_complete(self) -> None:
        """The answer is out; the rest of a body that nobody waits for may follow, but not for long."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._close_in(self.max_rest_seconds)

    def on_message_complete(self) -> None:
        """The next head begins."""
        is_rest = self.cycle.response_complete
        super().on_message_complete()
        self._num_head_bytes = self._num_rest_bytes = 0
        self._is_in_head = True
        if is_rest:
            self.cycle.more_body = False
            self._close_in(None)
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def pause_writing(self) -> None:
        """They read more slowly than they are answered, or not at all."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """They have read nearly all there was."""
        self._forget_unread()
        super().resume_writing()

    def _expect_reading(self) -> None:
        """See after a while whether they have read any of it; closing would wait for them to read it all."""
        num_unread = self.transport.get_write_buffer_size()

        def look() -> None:
            if self.transport.get_write_buffer_size() < num_unread:
                self._expect_reading()
            else:
                self.transport.abort()

        self._unread = self.loop.call_later(self.max_unread_seconds, look)

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _close_in(self, seconds: float | None) -> None:
        """Close the connection in so many seconds; None lets it live."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._cut_off)

    def _cut_off(self) -> None:
        self._deadline = None
        # Some clients send an empty line after a body: that is no head, and no reason to lose the answer.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
