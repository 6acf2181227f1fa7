"""Decodes the Content-Encoding of a request body as a stream, within bounds of memory and processor time.

The limits of an upload apply to the decoded bytes. A compressed body that expands to terabytes is refused like any
other body above the limit, after as many decoded bytes as that limit allows.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator

from service.uploads.errors import MalformedRequest, UnsupportedEncoding

ENCODINGS = ("gzip", "deflate")
"""The supported encodings, as the header `Accept-Encoding` of a refusal lists them."""

MAX_STEP_BYTES = 1 << 18
"""Most bytes decoded at once; between two steps the event loop serves other requests."""
MAX_GZIP_MEMBERS = 10_000
"""Most gzip files of which one body may consist; tools that compress in parallel write one for each block."""
MAX_OVERHEAD_BYTES = 1 << 16
"""A compressed body may have twice the bytes of its content, and as many more. Encoders add far less."""

_GZIP_WINDOW_BITS = 31
_ZLIB_WINDOW_BITS = 15
_RAW_WINDOW_BITS = -15
_ZLIB_HEADER_BYTES = 2


def select_decoder(content_encoding: str) -> "Decoder | None":
    """The decoder for the value of a Content-Encoding header; None if the body is not encoded.

    Raises:
        UnsupportedEncoding: the encoding is none of `ENCODINGS`, or the body is encoded more than once.
    """
    codings = [name for name in (part.strip().lower() for part in content_encoding.split(",")) if name]
    codings = [name for name in codings if name != "identity"]
    if not codings:
        return None
    if len(codings) > 1 or codings[0].removeprefix("x-") not in ENCODINGS:
        raise UnsupportedEncoding(
            f"The Content-Encoding {', '.join(codings)[:64]!r} is not supported. Send the body unencoded, or encoded "
            f"once with {' or '.join(ENCODINGS)}."
        )
    return Decoder(codings[0].removeprefix("x-"))


class Decoder:
    """Decodes one body. `gzip` may have several members; `deflate` may lack the zlib header, as clients send it."""

    def __init__(self, encoding: str) -> None:
        """`encoding` is one of `ENCODINGS`."""
        self._encoding = encoding
        self._stream = zlib.decompressobj(_GZIP_WINDOW_BITS) if encoding == "gzip" else None
        self._head = b""
        self._num_members = 1
        self._num_encoded_bytes = 0
        self._num_decoded_bytes = 0

    async def decoded(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The decoded bytes of `body`, in chunks of at most `MAX_STEP_BYTES`; empty while a chunk brings none.

        Raises:
            MalformedRequest: the body is damaged, incomplete, or made to cost time without content.
        """
        try:
            async for chunk in body:
                # Its sender does not pause.
                yield b""
                for content in self._decode(chunk):
                    yield content
                    await asyncio.sleep(0)
        except zlib.error as error:
            raise MalformedRequest(f"The body is not valid {self._encoding}: {error}.") from error
        if self._stream is None or not self._stream.eof:
            raise MalformedRequest(f"The body ends before the end of its {self._encoding} data.")

    def _decode(self, chunk: bytes) -> Iterator[bytes]:
        """The content of the next bytes of the body, in steps."""
        self._num_encoded_bytes += len(chunk)
        if self._stream is None:
            self._head += chunk
            if len(self._head) < _ZLIB_HEADER_BYTES:
                return
            chunk, self._head = self._head, b""
            self._stream = zlib.decompressobj(_ZLIB_WINDOW_BITS if _has_zlib_header(chunk) else _RAW_WINDOW_BITS)
        stream = self._stream
        while chunk:
            if stream.eof:
                stream = self._stream = self._next_member()
            content = stream.decompress(chunk, MAX_STEP_BYTES)
            chunk = stream.unconsumed_tail or stream.unused_data
            self._num_decoded_bytes += len(content)
            if content:
                yield content
        if self._num_encoded_bytes > 2 * self._num_decoded_bytes + MAX_OVERHEAD_BYTES:
            raise MalformedRequest(f"The {self._encoding} body has more than twice as many bytes as its content.")

    def _next_member(self) -> "zlib._Decompress":
        self._num_members += 1
        if self._encoding != "gzip":
            raise MalformedRequest(f"Bytes follow the {self._encoding} data of the body.")
        if self._num_members > MAX_GZIP_MEMBERS:
            raise MalformedRequest(f"The gzip body has more than {MAX_GZIP_MEMBERS} members.")
        return zlib.decompressobj(_GZIP_WINDOW_BITS)


def _has_zlib_header(head: bytes) -> bool:
    """Whether deflate data begin with the header of RFC 1950."""
    return head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:_ZLIB_HEADER_BYTES]) % 31 == 0
