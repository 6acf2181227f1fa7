"""Multipart forms: as RFC 2046 describes them, in any chunks, within limits and in time proportional to their size."""

import io
import random
import time
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.multipart import check, parsed_video
from service.uploads.bounded_file import BoundedFile
from service.uploads.errors import MalformedRequest, UnknownField, UploadError, UploadTooLarge
from service.uploads.multipart import (
    MAX_BOUNDARY_BYTES,
    MAX_FORM_OVERHEAD_BYTES,
    MAX_PADDING_BYTES,
    MAX_PART_HEAD_BYTES,
    MAX_PREAMBLE_BYTES,
    VideoForm,
)
from service.uploads.settings import UploadSettings
from tests.support.multipart_reference import HEAD, TOKENS, random_chunks

LIMITS = UploadSettings(max_upload_bytes=1 << 20)
MAX_SECONDS_PER_100_MB = 2


def video_of(body: bytes) -> bytes:
    """The video of a form that arrives in one chunk."""
    file = io.BytesIO()
    form = VideoForm(b"b", BoundedFile(file, LIMITS), LIMITS)
    form.write(body)
    form.finish()
    return file.getvalue()


@given(
    st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=9)), max_size=30),
    st.sampled_from([b"", b"--b\r\n" + HEAD]),
    st.randoms(),
)
def test_any_form_in_any_chunks_has_the_video_of_the_reference(
    tokens: list[bytes], start: bytes, rng: random.Random
) -> None:
    body = start + b"".join(tokens)
    check(body, random_chunks(body, rng))


@pytest.mark.parametrize(
    "form",
    [
        b"A preamble of\r\nany\r\n--bX lines\r\n--b\r\n" + HEAD + b"video\r\n--b--\r\nepilogue\r\n--b\r\n",
        b"\r\n\r\n--b\r\n" + HEAD + b"video\r\n--b--",
        b"--b \t \r\n" + HEAD + b"video\r\n--b-- \r\n",
        b'--b\r\ncontent-disposition: form-data;\r\n\tname="video"\r\nContent-Type: a/b\r\n\r\nvideo\r\n--b--\r\n',
    ],
    ids=["preamble and epilogue", "empty lines", "padding", "folded header"],
)
def test_what_rfc_2046_allows_around_a_part_is_accepted(form: bytes) -> None:
    assert video_of(form) == b"video"
    assert parsed_video([form[position : position + 1] for position in range(len(form))]) == b"video"


def test_lines_that_only_begin_like_a_boundary_are_content() -> None:
    content = b"\r\n--bX\r\n--b\r-\r\n--b " + b" " * MAX_PADDING_BYTES + b"\r\n--B--\r\n--"
    assert video_of(b"--b\r\n" + HEAD + content + b"\r\n--b--\r\n") == content


def test_each_limit_of_a_form_accepts_its_value_and_refuses_one_byte_more() -> None:
    rest = b"\r\n--b\r\n" + HEAD + b"video\r\n--b--\r\n"
    # The first boundary may stand at the beginning, as if a line break stood before it.
    preamble = b"x" * (MAX_PREAMBLE_BYTES - 2)
    assert video_of(preamble + rest) == b"video"
    with pytest.raises(MalformedRequest, match=str(MAX_PREAMBLE_BYTES)):
        video_of(preamble + b"x" + rest)

    start, name = b"--b\r\n", HEAD.removesuffix(b"\r\n\r\n")
    padding = b"x" * (MAX_PART_HEAD_BYTES - len(name) - len(b"\r\nX: "))
    assert video_of(start + name + b"\r\nX: " + padding + b"\r\n\r\nvideo\r\n--b--") == b"video"
    for end in (b"xxxx", b"\r\n\r\nvideo\r\n--b--"):
        with pytest.raises(MalformedRequest, match=str(MAX_PART_HEAD_BYTES)):
            video_of(start + name + b"\r\nX: " + padding + b"x" + end)

    file = BoundedFile(io.BytesIO(), LIMITS)
    VideoForm(b"b" * MAX_BOUNDARY_BYTES, file, LIMITS)
    with pytest.raises(MalformedRequest, match=str(MAX_BOUNDARY_BYTES)):
        VideoForm(b"b" * (MAX_BOUNDARY_BYTES + 1), file, LIMITS)

    epilogue = b"x" * (LIMITS.max_upload_bytes + MAX_FORM_OVERHEAD_BYTES - len(rest))
    assert video_of(rest + epilogue) == b"video"
    with pytest.raises(UploadTooLarge):
        video_of(rest + epilogue + b"x")


def test_a_second_part_an_unknown_part_and_a_nameless_part_are_refused() -> None:
    part = b"--b\r\n" + HEAD + b"video\r\n"
    for body, error in (
        (part + part, MalformedRequest),
        (b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\n', UnknownField),
        (b"--b\r\n\r\nvideo\r\n--b--", MalformedRequest),
        (b"--b\r\nno header\r\n\r\nvideo\r\n--b--", MalformedRequest),
        (b"--b--\r\n", MalformedRequest),
    ):
        with pytest.raises(error):
            video_of(body)


class Discarding:
    """A file that keeps nothing."""

    def write(self, data: bytes) -> int:
        """Drop the bytes."""
        return len(data)


FLOODS = {
    "zeros": b"\0",
    "carriage returns": b"\r",
    "line breaks": b"\r\n",
    "line breaks and hyphens": b"\r\n--",
    "false boundaries": b"\r\n--BX",
    "almost closing boundaries": b"\r\n--B-",
    "padded false boundaries": b"\r\n--B X",
    "long padding": b"\r\n--B" + b" " * MAX_PADDING_BYTES,
    "cut boundaries": b"\r\n--B\rX",
    "headers": b"A: b\r\n",
    "boundaries": b"\r\n--B\r\n",
    "parts": b'\r\n--B\r\nContent-Disposition: form-data; name="video"\r\n\r\nx',
}


@pytest.mark.parametrize("start", [b"", b'--B\r\nContent-Disposition: form-data; name="video"\r\n\r\n'])
@pytest.mark.parametrize("flood", FLOODS.values(), ids=list(FLOODS))
def test_any_body_takes_processor_time_in_proportion_to_its_bytes(flood: bytes, start: bytes) -> None:
    num_bytes, chunk_bytes = 4_000_000, 1 << 16
    limits = UploadSettings(max_upload_bytes=num_bytes)
    body = start + flood * (num_bytes // len(flood))

    def seconds() -> float:
        form = VideoForm(b"B", BoundedFile(cast("BinaryIO", Discarding()), limits), limits)
        started_at = time.process_time()
        try:
            for position in range(0, len(body), chunk_bytes):
                form.write(body[position : position + chunk_bytes])
        except UploadError:
            pass
        return time.process_time() - started_at

    # A busy machine may disturb one measurement.
    assert min(seconds() for _ in range(3)) < MAX_SECONDS_PER_100_MB * num_bytes / 100e6
