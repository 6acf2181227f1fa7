"""Compressed bodies: decoded as a stream, and refused if they are damaged or made to cost time."""

import asyncio
import gzip
import random
import time
import zlib
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.uploads.content_encoding import MAX_GZIP_MEMBERS, MAX_OVERHEAD_BYTES, MAX_STEP_BYTES, select_decoder
from service.uploads.errors import MalformedRequest, UnsupportedEncoding
from tests.support.multipart_reference import random_chunks

MAX_SECONDS_PER_100_MB = 4
Compress = Callable[[bytes], bytes]


def compress_raw(content: bytes) -> bytes:
    """Deflate data without the header of zlib, as Microsoft's clients sent them."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(content) + compressor.flush()


def compress_members(content: bytes) -> bytes:
    """Gzip data of two members."""
    return gzip.compress(content[: len(content) // 2]) + gzip.compress(content[len(content) // 2 :])


ENCODERS: tuple[tuple[str, Compress], ...] = (
    ("gzip", gzip.compress),
    ("X-Gzip", compress_members),
    ("deflate", zlib.compress),
    (" identity, DEFLATE ", compress_raw),
)


def decode(encoding: str, chunks: list[bytes]) -> bytes:
    """The decoded content of a body that arrives in these chunks."""

    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def read() -> bytes:
        decoder = select_decoder(encoding)
        assert decoder is not None
        return b"".join([content async for content in decoder.decoded(body())])

    return asyncio.run(read())


@given(st.binary(max_size=3000), st.sampled_from(ENCODERS), st.randoms())
def test_a_compressed_body_in_any_chunks_is_its_content(
    content: bytes, encoder: tuple[str, Compress], rng: random.Random
) -> None:
    encoding, compress = encoder
    assert decode(encoding, random_chunks(compress(content), rng)) == content


@pytest.mark.parametrize(("encoding", "compress"), ENCODERS)
def test_a_damaged_or_cut_body_is_malformed(encoding: str, compress: Compress) -> None:
    body = compress(bytes(range(256)) * 9)
    # Only data with a checksum show damage to their last byte.
    last = [body[:-1] + bytes([body[-1] ^ 1])] if compress is not compress_raw else []
    for damaged in (b"", body[:1], body[:-1], b"\x1f\x8b" + b"\xff" * 20, b"text", *last):
        with pytest.raises(MalformedRequest):
            decode(encoding, [damaged])


def test_bytes_after_deflate_data_are_malformed() -> None:
    with pytest.raises(MalformedRequest, match="follow"):
        decode("deflate", [zlib.compress(b"x") + b"x"])


@pytest.mark.parametrize("encoding", ["", "identity", " Identity , ", ","])
def test_a_body_without_an_encoding_needs_no_decoder(encoding: str) -> None:
    assert select_decoder(encoding) is None


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "x-x-gzip", "g zip", "x" * 9000])
def test_another_encoding_is_refused_with_the_supported_ones(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="gzip or deflate") as refused:
        select_decoder(encoding)
    assert len(str(refused.value)) < 300


def test_a_body_that_expands_a_thousandfold_is_decoded_in_small_steps_and_lets_others_run() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield gzip.compress(bytes(64 << 20))

    async def scenario() -> tuple[list[int], int]:
        turns: list[None] = []

        async def count_turns() -> None:
            while True:
                turns.append(None)
                await asyncio.sleep(0)

        counting = asyncio.create_task(count_turns())
        decoder = select_decoder("gzip")
        assert decoder is not None
        sizes = [len(content) async for content in decoder.decoded(body())]
        counting.cancel()
        return sizes, len(turns)

    sizes, num_turns = asyncio.run(scenario())
    assert (max(sizes), sum(sizes)) == (MAX_STEP_BYTES, 64 << 20)
    assert num_turns >= sum(sizes) / MAX_STEP_BYTES


def test_encoded_bytes_without_content_are_refused() -> None:
    empty_blocks = b"\0\0\0\xff\xff" * (MAX_OVERHEAD_BYTES // 5 + 2)
    with pytest.raises(MalformedRequest, match="twice"):
        decode("deflate", [empty_blocks])
    with pytest.raises(MalformedRequest, match="twice"):
        decode("gzip", [gzip.compress(b"") * 4000])


def test_a_gzip_body_has_a_limit_of_members() -> None:
    member = gzip.compress(b"content that is long enough for its member, so that another limit is not met")
    assert decode("gzip", [member * MAX_GZIP_MEMBERS]).startswith(b"content")
    with pytest.raises(MalformedRequest, match=str(MAX_GZIP_MEMBERS)):
        decode("gzip", [member * (MAX_GZIP_MEMBERS + 1)])


def many_tables() -> bytes:
    """Gzip data whose every block brings its own tables, larger than its content."""
    compressor = zlib.compressobj(9, wbits=31)
    rng = random.Random(0)  # noqa: S311
    blocks = [
        compressor.compress(bytes(rng.choices(range(256), range(1, 257), k=300))) + compressor.flush(zlib.Z_FULL_FLUSH)
        for _ in range(2000)
    ]
    return b"".join(blocks) + compressor.flush()


BODIES: dict[str, Callable[[], bytes]] = {
    "zeros": lambda: gzip.compress(bytes(16 << 20)),
    "noise": lambda: gzip.compress(random.Random(0).randbytes(4 << 20)),  # noqa: S311
    "tables": many_tables,
}


@pytest.mark.parametrize("name", BODIES)
def test_decoding_takes_processor_time_in_proportion_to_the_bytes(name: str) -> None:
    body = BODIES[name]()
    chunks = [body[position : position + (1 << 16)] for position in range(0, len(body), 1 << 16)]
    num_bytes = max(len(body), len(decode("gzip", chunks)))

    def seconds() -> float:
        started_at = time.process_time()
        decode("gzip", chunks)
        return time.process_time() - started_at

    # Starting an event loop takes some of it.
    assert min(seconds() for _ in range(3)) < MAX_SECONDS_PER_100_MB * num_bytes / 100e6 + 0.05
