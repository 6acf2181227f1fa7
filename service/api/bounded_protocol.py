"""HTTP/1.1 connections with limits and guarantees that httptools and uvicorn do not have.

- The head of a request: httptools reads an endless head. `service.api.request_parser` bounds it.
- The rest of a body after its response: uvicorn reads it at any pace and of any length, or resets the connection so
  that the client loses the response. This protocol discards the rest, and of a connection that ends it closes the
  sending half first. A client that sends its whole body before it reads therefore gets the response. At the limits,
  the connection is closed.
- The time for which a client does not read a response: uvicorn waits indefinitely.
- Malformed bytes behind a request that is still being served: uvicorn's 400 would precede the response of that request.
"""

import asyncio
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Any, ClassVar, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.api.accepted_connection import IS_REFUSED
from service.api.authorize import caller_at
from service.api.request_parser import MalformedHttp, RequestParser
from service.connections.connections import Connections
from service.connections.settings import MAX_LINGER_BYTES, MAX_LINGER_SECONDS, ConnectionSettings

MAX_HEAD_SECONDS = 20.0
MAX_REST_PAUSE_SECONDS = 5.0
MAX_UNREAD_SECONDS = 30.0


class BoundedProtocol(HttpToolsProtocol):
    """Refuses malformed requests with 400, and closes connections that exceed a limit."""

    max_head_seconds: ClassVar[float] = MAX_HEAD_SECONDS
    max_rest_pause_seconds: ClassVar[float] = MAX_REST_PAUSE_SECONDS
    max_rest_seconds: float = MAX_LINGER_SECONDS
    max_rest_bytes: int = MAX_LINGER_BYTES
    max_unread_seconds: ClassVar[float] = MAX_UNREAD_SECONDS

    parser: RequestParser  # type: ignore[assignment]

    # The request whose response is being sent, or was sent last; `cycle` is the last one whose head has arrived.
    _active: RequestResponseCycle | None = None
    _num_rest_bytes = 0
    _rest_ends_at = 0.0
    _is_lingering = False
    _refusal: MalformedHttp | None = None
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, connections_of_all: Connections | None = None, **named: Any) -> None:
        """Create the protocol of one connection; without `connections_of_all` the connection is the only one."""
        super().__init__(*arguments, **named)
        self.parser = RequestParser(self)
        self.address = ""
        if connections_of_all is None:
            connections_of_all = Connections(ConnectionSettings())
        else:
            self.max_rest_bytes = connections_of_all.settings.linger_bytes
            self.max_rest_seconds = connections_of_all.settings.linger_seconds
        self._all = connections_of_all
        self.timeout_keep_alive = connections_of_all.settings.keep_alive_seconds  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit for the first head."""
        super().connection_made(transport)
        if self.client is not None:
            self.client = (_plain_host(self.client[0]), self.client[1])
            self.address = caller_at(self.client[0])
        self._all.add(self)
        if transport.is_closing():
            return
        self._set_deadline(self.max_head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, and report the disconnect to the request that is being served."""
        self._all.remove(self)
        self._set_deadline(None)
        self._stop_unread_timer()
        if self._active is not None:
            _disconnect(self._active)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse data; discard it if no request follows on this connection."""
        self._unset_keepalive_if_required()
        if self._is_lingering or self._refusal is not None or self.parser.is_at_end:
            self._count_rest(len(data))
            return
        if self.parser.is_in_head and self._deadline is None:
            self._set_deadline(self.max_head_seconds)
        try:
            self.parser.feed_data(data)
        except MalformedHttp as fault:
            self._refuse(fault)

    def on_headers_complete(self) -> None:
        """Stop the time limit for the head."""
        self._set_deadline(None)
        is_accepted = self._all.accept_request(self)
        if not is_accepted:
            self.scope["state"][IS_REFUSED] = True
        super().on_headers_complete()
        if self._all.is_draining or not is_accepted:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Count the bytes of a body whose response was already sent; close the connection at the limit."""
        super().on_body(body)
        if self.cycle.response_complete:
            self._count_rest(len(body))

    def on_response_complete(self) -> None:
        """Start the limits for the rest of the body, if the response was sent before the body's end."""
        self._all.set_idle(self)
        if self._is_lingering:
            # The requests that the client sent after this one are not served.
            self.pipeline.clear()
            return
        is_last = not self.pipeline
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.cycle.response_complete and self.cycle.more_body:
            self._begin_rest()
        if self._refusal is not None and is_last:
            self._send_refusal(self._refusal)

    def on_message_complete(self) -> None:
        """Keep the connection alive if the rest of a body was discarded."""
        is_rest = self.cycle.response_complete
        super().on_message_complete()
        if is_rest:
            self.cycle.more_body = False
            self._set_deadline(None)
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._active = cycle
        self._all.set_busy(self)
        cycle.transport = cast("asyncio.Transport", _ResponseTransport(self))
        super()._start_asgi_task(cycle, app)

    def end_connection(self) -> None:
        """Close the connection after its last response; linger first if the client is still sending."""
        if self.transport.is_closing():
            return
        if self.cycle.more_body or not self.parser.is_in_head:
            self._linger()
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Close the connection as soon as its response is sent, and the rest of the body has arrived."""
        if self._is_lingering:
            return
        if self.cycle is not None and self.cycle.response_complete and self.cycle.more_body:
            self._linger()
        else:
            super().shutdown()

    def close_idle(self) -> None:
        """Close the connection, which has no request."""
        self._set_deadline(None)
        if self._is_lingering:
            # `close` would wait for the client to read.
            self.transport.abort()
        else:
            self.transport.close()

    def close_after_response(self) -> None:
        """Close the connection after the response to the current request; later requests do so by themselves."""
        for cycle in (self._active, self.cycle):
            if cycle is not None and not cycle.response_started:
                cycle.keep_alive = False

    def pause_writing(self) -> None:
        """Start the time limit for a client that does not read its response."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """Stop that time limit: the client has read almost all of the response."""
        self._stop_unread_timer()
        super().resume_writing()

    def _refuse(self, fault: MalformedHttp) -> None:
        """Respond to malformed bytes, after the responses to all requests before them."""
        self.logger.warning("Malformed request refused.", extra={"detail": str(fault)})
        self._refusal = fault
        self._num_rest_bytes = 0
        if self.cycle is not None and self.cycle.more_body:
            self._end_malformed_request(self.cycle)
        elif self._active is None or self._active.response_complete:
            self._send_refusal(fault)

    def _end_malformed_request(self, cycle: RequestResponseCycle) -> None:
        """End the last request, whose body is malformed."""
        assert self._refusal is not None
        if cycle is not self._active:
            # Its turn has not come: the requests before it are served first.
            self.pipeline.popleft()
        elif cycle.response_complete:
            self._linger()
        elif cycle.response_started:
            self.transport.close()
        else:
            _disconnect(cycle)
            self._send_refusal(self._refusal)

    def _send_refusal(self, fault: MalformedHttp) -> None:
        message = str(fault).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(message)).encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[HTTPStatus(fault.status)] + lines + b"\r\n" + message)
        self._linger()

    def _linger(self) -> None:
        """End the response, discard what the client still sends, and close the connection when the client does.

        A connection that is closed with bytes unread is reset, and the client may lose the response.
        """
        if self._is_lingering or self.transport.is_closing():
            return
        self._is_lingering = True
        self._unset_keepalive_if_required()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._begin_rest()

    def _begin_rest(self) -> None:
        self._num_rest_bytes = 0
        self._rest_ends_at = self.loop.time() + self.max_rest_seconds
        self._set_rest_deadline()

    def _count_rest(self, num_bytes: int) -> None:
        """Count discarded bytes; close the connection at the limit."""
        self._num_rest_bytes += num_bytes
        if self._num_rest_bytes > self.max_rest_bytes:
            self.transport.close()
        elif self.cycle is None or self.cycle.response_complete or self._is_lingering:
            self._set_rest_deadline()

    def _set_rest_deadline(self) -> None:
        self._set_deadline(min(self.max_rest_pause_seconds, self._rest_ends_at - self.loop.time()))

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
        if self._is_lingering or self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def _plain_host(host: str) -> str:
    """The IPv4 address that a listener for both families reports inside an IPv6 one, or `host` itself."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return host if mapped is None else str(mapped)


def _disconnect(cycle: RequestResponseCycle) -> None:
    """Report to the application that the client of a request has left."""
    if not cycle.response_complete:
        cycle.disconnected = True
    cycle.message_event.set()


class _ResponseTransport:
    """The transport that a response is written to; `close` lets the client read the response."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        """Send a part of the response."""
        self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        """Whether no more can be sent."""
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        """End the connection."""
        self._protocol.end_connection()
