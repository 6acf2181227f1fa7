"""Receiving an upload without a server."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.uploads.errors import MalformedRequest, UploadError
from service.uploads.receive import ReceivedVideo, receive_video
from service.uploads.settings import UploadSettings

LIMITS = UploadSettings(max_upload_bytes=1 << 20, upload_idle_timeout_seconds=5, upload_timeout_seconds=10)
CONTENT_TYPE = "multipart/form-data; boundary=b"


def form(video: bytes) -> bytes:
    """A form with one part named video."""
    head = b'--b\r\nContent-Disposition: form-data; name="video"; filename="v"\r\n\r\n'
    return head + video + b"\r\n--b--\r\n"


def receive(body: bytes, path: Path, chunk_sizes: list[int]) -> ReceivedVideo:
    """Receive `body` in chunks of the given sizes, and a last chunk with the rest."""

    async def chunks() -> AsyncIterator[bytes]:
        rest = body
        for size in chunk_sizes:
            yield rest[:size]
            rest = rest[size:]
        yield rest

    return asyncio.run(receive_video(chunks(), CONTENT_TYPE, None, path, LIMITS))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=3000), st.lists(st.integers(0, 100), max_size=50))
def test_the_file_equals_the_upload_for_any_chunk_sizes(
    tmp_path_factory: pytest.TempPathFactory, video: bytes, chunk_sizes: list[int]
) -> None:
    path = tmp_path_factory.mktemp("upload") / "video"
    received = receive(form(video), path, chunk_sizes)
    assert received == ReceivedVideo(path, len(video), hashlib.sha256(video).hexdigest())
    assert path.read_bytes() == video


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 100), max_size=5))
def test_any_bytes_give_a_file_or_an_upload_error(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, chunk_sizes: list[int]
) -> None:
    path = tmp_path_factory.mktemp("upload") / "video"
    for prefix in (b"", b"--b\r\n", form(b"")[:-8]):
        path.unlink(missing_ok=True)
        with contextlib.suppress(UploadError):
            receive(prefix + body, path, chunk_sizes)


@pytest.mark.parametrize(
    "content_type", ["", "multipart/form-data", "multipart/mixed; boundary=b", "\x00;;=", "a" * 9000]
)
def test_a_content_type_other_than_a_form_is_malformed(content_type: str, tmp_path: Path) -> None:
    async def empty() -> AsyncIterator[bytes]:
        yield b""

    with pytest.raises(MalformedRequest):
        asyncio.run(receive_video(empty(), content_type, None, tmp_path / "video", LIMITS))
