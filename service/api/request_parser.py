"""Parses HTTP requests with httptools, as RFC 9110 and RFC 9112 require of a server that never upgrades a connection.

httptools takes the bytes after the head of a request with `Upgrade` for another protocol. This parser ignores the
offer (RFC 9110, 7.8): it replaces the parser at the end of that head by one that read the same framing headers without
`Upgrade`, so that one parser alone decides where the body and the next request begin.
"""

import re
from http import HTTPStatus

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 1 << 16
MAX_SMALL_PARTS = 10_000
MIN_MEAN_PART_BYTES = 32
"""Smallest mean size of the chunks of a body, after the first `MAX_SMALL_PARTS`: each part takes processor time."""

_FRAMING = (b"content-length", b"transfer-encoding")
_REQUEST_LINE_BYTES = len("  HTTP/1.1\r\n\r\n")
_HEADER_BYTES = len(": \r\n")
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")


class MalformedHttp(Exception):
    """The bytes are no HTTP request that this server accepts; the text is for the client."""

    def __init__(self, detail: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(detail)
        self.status = status


class RequestParser:
    """Calls the callbacks of `target` for each request. Trailers are ignored."""

    def __init__(self, target: HttpToolsProtocol) -> None:
        self._target = target
        self._fault: MalformedHttp | None = None
        # Bytes since the last event: of the head, or of a chunk's size, its extensions and the trailers.
        self._num_bytes = 0
        # Parts in which the body arrives: chunks, and what a packet holds of one.
        self._num_parts = self._num_body_bytes = 0
        # Length of a head whose parts are separated by one space each.
        self._num_head_bytes = 0
        # Whether the packet begins with a head, and whether the current head began there.
        self._begins_with_head = self._is_counted = True
        self._hosts: list[bytes] = []
        self._framing: list[tuple[bytes, bytes]] = []
        self._is_replaying = False
        self.is_in_head = True
        """Whether the next byte belongs to a head."""
        self.is_at_end = False
        """Whether a request was parsed after which the connection is closed; the parser ignores all further bytes."""
        self._parser = self._new_parser()

    def feed_data(self, data: bytes) -> None:
        """Parse data, however requests are split into packets.

        Raises:
            MalformedHttp: the data cannot be parsed; the parser cannot be used any more.
        """
        rest = memoryview(data)
        while rest:
            most = MAX_HEAD_BYTES - self._num_bytes if self.is_in_head else MAX_HEAD_BYTES
            piece = rest[:most]
            self._begins_with_head = self.is_in_head
            # The callbacks below reset the count.
            self._num_bytes += len(piece)
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                self._continue_without_upgrade()
                continue
            except httptools.HttpParserError:
                if self.is_at_end:
                    return
                raise self._fault or MalformedHttp("Invalid HTTP request received.") from None
            if self._num_bytes >= MAX_HEAD_BYTES:
                raise _head_too_large()
            rest = rest[len(piece) :]

    def get_http_version(self) -> str:
        """Return the version of the last head, such as `1.1`."""
        version: str = self._parser.get_http_version()
        return version

    def get_method(self) -> bytes:
        """Return the method of the last head."""
        method: bytes = self._parser.get_method()
        return method

    def should_keep_alive(self) -> bool:
        """Whether the connection may serve another request after the last head."""
        return self.get_http_version() == "1.1" and self._parser.should_keep_alive()

    def should_upgrade(self) -> bool:
        """False: no upgrade is taken."""
        return False

    def on_message_begin(self) -> None:
        """Begin a head."""
        if self._is_replaying:
            return
        if self.is_at_end:
            # Ends the parsing of this packet.
            raise MalformedHttp("The connection is closed after the request before.")
        self._is_counted = self._begins_with_head
        self._num_head_bytes = _REQUEST_LINE_BYTES
        self._hosts, self._framing = [], []
        self._target.on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Pass on a part of the target."""
        if not self._is_replaying:
            self._num_head_bytes += len(url)
            self._target.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Pass on a header, but not a trailer: it must not replace a header that a proxy has set."""
        if self._is_replaying or not self.is_in_head:
            return
        self._num_head_bytes += len(name) + len(value) + _HEADER_BYTES
        lower = name.lower()
        if lower == b"host":
            self._hosts.append(value)
        elif lower in _FRAMING:
            self._framing.append((lower, value))
        self._target.on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the head and pass it on; raises MalformedHttp, which `feed_data` raises again."""
        if self._is_replaying:
            return
        self._fault = self._head_fault()
        if self._fault is not None:
            raise self._fault
        self.is_in_head = False
        self._num_bytes = self._num_parts = self._num_body_bytes = 0
        self._target.on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a part of a body; raises MalformedHttp, which `feed_data` raises again."""
        self._num_bytes = 0
        self._num_parts += 1
        self._num_body_bytes += len(body)
        if self._num_parts > MAX_SMALL_PARTS + self._num_body_bytes // MIN_MEAN_PART_BYTES:
            self._fault = MalformedHttp(
                f"The chunks of the body are too small: they must have {MIN_MEAN_PART_BYTES} bytes on average."
            )
            raise self._fault
        self._target.on_body(body)

    def on_message_complete(self) -> None:
        """Pass on the end of a request; the body of one with `Upgrade` is still to come."""
        if self._parser.should_upgrade():
            return
        self._num_bytes = 0
        self._begins_with_head = False
        self.is_in_head = True
        self.is_at_end = not self.should_keep_alive()
        self._target.on_message_complete()

    def _head_fault(self) -> MalformedHttp | None:
        if self.get_http_version() not in ("1.0", "1.1"):
            return MalformedHttp("Use HTTP/1.1.", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        if self.get_method() == b"CONNECT":
            return MalformedHttp("The service is no proxy: CONNECT is not supported.")
        # httptools does not state where in a packet a head began.
        if not self._is_counted and self._num_head_bytes + len(self.get_method()) > MAX_HEAD_BYTES:
            return _head_too_large()
        if len(self._hosts) > 1 or (not self._hosts and self.get_http_version() == "1.1"):
            return MalformedHttp("The request must have exactly one Host header.")
        if self._hosts and _HOST.fullmatch(self._hosts[0]) is None:
            return MalformedHttp("The Host header is invalid.")
        return None

    def _continue_without_upgrade(self) -> None:
        """Replace the parser by one that expects the body of the last head."""
        version = self.get_http_version()
        connection = b"" if self._parser.should_keep_alive() else b"connection: close\r\n"
        framing = b"".join(b"%b: %b\r\n" % header for header in self._framing)
        self._parser = self._new_parser()
        self._is_replaying = True
        # Without a body, this is also the end of the request.
        self._parser.feed_data(b"POST / HTTP/%b\r\n%b%b\r\n" % (version.encode(), connection, framing))
        self._is_replaying = False

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # Without it a parser refuses the bytes after a request with `Connection: close`, which are ignored here.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser


def _head_too_large() -> MalformedHttp:
    return MalformedHttp("The head of the request is too large.")
