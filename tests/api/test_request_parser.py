"""Requests are told apart alike whatever they offer to upgrade to, and however they are split into packets."""

import itertools
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.request_parser import (
    MAX_HEAD_BYTES,
    MAX_SMALL_PARTS,
    MIN_MEAN_PART_BYTES,
    MalformedHttp,
    RequestParser,
)

OFFERS: tuple[tuple[bytes, ...], ...] = (
    (),
    (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAAAAIAAAAA"),
    (b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x", b"Sec-WebSocket-Version: 13"),
    (b"Upgrade: TLS/1.2", b"Connection: Upgrade"),
    (b"Connection: keep-alive, Upgrade", b"Upgrade: foo, bar/2"),
    (b"Connection: Upgrade", b"Upgrade: foo", b"Upgrade: h2c", b"Connection: Upgrade"),
    (b"Upgrade: foo",),
    (b"Connection: Upgrade",),
    (b"Connection: upgrade", b"Upgrade:"),
)
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Received:
    """What a parser reported of one request."""

    path: bytes = b""
    headers: list[bytes] = field(default_factory=list)
    body: bytes = b""
    is_complete: bool = False


class Recorder:
    """A target that keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.parser = RequestParser(cast("HttpToolsProtocol", self))

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.requests.append(Received())

    def on_url(self, url: bytes) -> None:
        """Keep the target."""
        self.requests[-1].path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.requests[-1].headers.append(name.lower() + b"=" + value)

    def on_headers_complete(self) -> None:
        """Check the order of the callbacks."""
        assert not self.requests[-1].is_complete

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self.requests[-1].body += body

    def on_message_complete(self) -> None:
        """End the request."""
        self.requests[-1].is_complete = True


def parsed(*packets: bytes) -> list[Received]:
    """Parse the packets."""
    recorder = Recorder()
    for packet in packets:
        recorder.parser.feed_data(packet)
    return recorder.requests


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Bytes of a request, and its body."""
    body = draw(st.sampled_from([b"", b"x", SMUGGLED, b"0\r\n\r\n" + SMUGGLED, bytes(300)]))
    lines = [b"POST /p HTTP/1.1", b"Host: x", *draw(st.sampled_from(OFFERS))]
    if body and draw(st.booleans()):
        size = draw(st.integers(1, len(body)))
        chunks = _chunks(body, size)
        trailer = draw(st.sampled_from([b"", b"Authorization: Bearer y\r\n"]))
        sent = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailer + b"\r\n"
        lines.append(b"Transfer-Encoding: chunked")
    else:
        sent = body
        if body or draw(st.booleans()):
            lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + sent, body


@given(st.lists(requests(), min_size=1, max_size=5), st.data())
def test_every_request_has_its_body_and_no_body_is_read_as_a_request(
    sent: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(request for request, _ in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    received = parsed(*(stream[begin:end] for begin, end in itertools.pairwise([0, *cuts, len(stream)])))
    assert [(request.path, request.body) for request in received] == [(b"/p", body) for _, body in sent]
    assert all(request.is_complete for request in received)
    assert not any(header.startswith(b"authorization") for request in received for header in request.headers)


@given(requests(), st.integers(1, 2))
def test_nothing_is_read_after_a_request_that_closes_the_connection(
    request: tuple[bytes, bytes], num_packets: int
) -> None:
    closing = request[0].replace(b"Host: x", b"Host: x\r\nConnection: close", 1)
    packets = [closing + SMUGGLED] if num_packets == 1 else [closing, SMUGGLED]
    (received,) = parsed(*packets)
    assert received.is_complete


def test_an_upgrade_that_http_1_0_offers_is_ignored() -> None:
    head = b"POST /p HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)
    (received,) = parsed(head, SMUGGLED)
    assert (received.body, received.is_complete) == (SMUGGLED, True)


def head_of(num_bytes: int) -> bytes:
    """A head of `num_bytes` bytes."""
    begin, end = b"GET /p HTTP/1.1\r\nHost: x\r\nX: ", b"\r\n\r\n"
    return begin + b"y" * (num_bytes - len(begin) - len(end)) + end


@pytest.mark.parametrize("before", [b"", b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"])
@pytest.mark.parametrize("packet_bytes", [1 << 20, 60_000, 1])
def test_a_head_may_have_64_kib_and_not_one_byte_more(before: bytes, packet_bytes: int) -> None:
    def packets(num_bytes: int) -> list[bytes]:
        return _chunks(before + head_of(num_bytes), packet_bytes)

    assert parsed(*packets(MAX_HEAD_BYTES))[-1].is_complete
    with pytest.raises(MalformedHttp, match="too large"):
        parsed(*packets(MAX_HEAD_BYTES + 1))


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + bytes(200_000).replace(b"\0", b"x"),
        b"\r\n" * 100_000,
        b"GET / HTTP/1.1\r\nHost: x\r\nX:" + b" " * 200_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 200_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 40_000,
    ],
    ids=["target", "empty lines", "spaces", "chunk extension", "trailers"],
)
def test_what_comes_before_a_body_or_between_its_chunks_is_bounded(endless: bytes) -> None:
    with pytest.raises(MalformedHttp):
        parsed(*_chunks(endless, 10_000))


def test_a_body_may_have_many_small_chunks_but_not_only_such() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    small, large = b"1\r\nx\r\n", b"%x\r\n%b\r\n" % (MIN_MEAN_PART_BYTES, b"x" * MIN_MEAN_PART_BYTES)
    first = head + small * MAX_SMALL_PARTS
    assert len(parsed(first + large * 50_000 + b"0\r\n\r\n")[0].body) == MAX_SMALL_PARTS + 50_000 * MIN_MEAN_PART_BYTES
    with pytest.raises(MalformedHttp, match="too small"):
        parsed(first + small * (2 * MAX_SMALL_PARTS // MIN_MEAN_PART_BYTES))
    # The count begins with each request.
    assert len(parsed((first + b"0\r\n\r\n") * 3)) == 3


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "exactly one Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "exactly one Host"),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "exactly one Host"),
        (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "invalid"),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "invalid"),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "Invalid"),
    ],
)
def test_a_head_that_http_does_not_allow_is_refused(head: bytes, reason: str) -> None:
    with pytest.raises(MalformedHttp, match=reason):
        parsed(head)


@pytest.mark.parametrize("host", [b"", b"a", b"a:80", b"[::1]:80", b"127.0.0.1", b"a_b.example", b"%41"])
def test_every_form_of_one_host_is_accepted(host: bytes) -> None:
    (request,) = parsed(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert request.is_complete


def test_http_1_0_needs_no_host() -> None:
    (request,) = parsed(b"GET / HTTP/1.0\r\n\r\n")
    assert request.is_complete


def _chunks(data: bytes, size: int) -> list[bytes]:
    return [data[begin : begin + size] for begin in range(0, len(data), size)]
