"""A multipart parser that looks at each byte of a whole form, as RFC 2046 describes it: a reference for the service.

It is slow, holds everything in memory, and shares no code with `service.uploads.multipart`.
"""

import random
from typing import NamedTuple

from service.uploads.multipart import MAX_PADDING_BYTES, MAX_PART_HEAD_BYTES, MAX_PREAMBLE_BYTES

BOUNDARY = b"b"
HEAD = b'Content-Disposition: form-data; name="video"; filename="v"\r\n\r\n'
TOKENS = (
    *(b"\r\n--b\r\n", b"\r\n--b--", b"\r\n--bX", b"\r\n--b", b"--b\r\n", b"\r\n--b \t\r\n", b"\r\n--b-", b"\r\n\r\n"),
    *(
        HEAD,
        b"X-Other: 1\r\n",
        b'Content-Disposition: form-data; name="other"\r\n\r\n',
        b"Content-Disposition:\r\n name",
    ),
    *(b"\r", b"\n", b"-", b"b", b" ", b"\t", b":", b"x", b"\0", b"\xff", b" " * MAX_PADDING_BYTES, b"\r\n", b"--"),
)
"""Pieces of forms, of which random bodies are put together."""


def random_body(rng: random.Random) -> bytes:
    """A body of random tokens; every second one begins like a form with a video."""
    start = b"--b\r\n" + HEAD if rng.random() < 1 / 2 else b""
    return start + b"".join(rng.choices(TOKENS, k=rng.randrange(30)))


def random_chunks(body: bytes, rng: random.Random) -> list[bytes]:
    """`body` in chunks of random lengths."""
    ends = sorted(rng.choices(range(len(body) + 1), k=rng.randrange(1 + min(len(body), 20))))
    return [body[start:end] for start, end in zip([0, *ends], [*ends, len(body)], strict=True)]


def video_of(body: bytes) -> bytes | None:
    """The content of the form's one part, `video`; None if `body` is not such a form."""
    # The first boundary may stand at the beginning of the body.
    form = b"\r\n" + body
    delimiter = _next_delimiter(form, 0)
    if delimiter is None or delimiter.start > MAX_PREAMBLE_BYTES:
        return None
    videos = []
    while not delimiter.is_closing:
        head, blank_line, _ = form[delimiter.end + 2 :].partition(b"\r\n\r\n")
        if form.startswith(b"\r\n\r\n", delimiter.end):
            head, blank_line = b"", b"\r\n"
        if not blank_line or len(head) > MAX_PART_HEAD_BYTES or not _names_video(head):
            return None
        start = delimiter.end + 2 + len(head) + len(blank_line)
        delimiter = _next_delimiter(form, start)
        if delimiter is None:
            return None
        videos.append(form[start : delimiter.start])
    return videos[0] if len(videos) == 1 else None


class _Delimiter(NamedTuple):
    start: int
    end: int
    """For a delimiter that does not close the form, where the line break after it begins."""
    is_closing: bool


def _next_delimiter(form: bytes, start: int) -> _Delimiter | None:
    for position in range(start, len(form)):
        if not form.startswith(b"\r\n--" + BOUNDARY, position):
            continue
        after = end = position + len(b"\r\n--" + BOUNDARY)
        if form.startswith(b"--", after):
            return _Delimiter(position, after + 2, is_closing=True)
        while end - after < MAX_PADDING_BYTES and form[end : end + 1] in (b" ", b"\t"):
            end += 1
        if form.startswith(b"\r\n", end):
            return _Delimiter(position, end, is_closing=False)
    return None


def _names_video(head: bytes) -> bool:
    unfolded = head
    while b"\r\n " in unfolded or b"\r\n\t" in unfolded:
        unfolded = unfolded.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    headers = [header.partition(b":") for header in unfolded.split(b"\r\n")]
    if not all(colon and _is_token(name) for name, colon, _ in headers):
        return False
    dispositions = [value for name, _, value in headers if name.lower() == b"content-disposition"]
    return bool(dispositions) and b'name="video"' in dispositions[-1]


def _is_token(name: bytes) -> bool:
    return bool(name) and all(byte in b"!#$%&'*+-.^_`|~" or (byte < 128 and chr(byte).isalnum()) for byte in name)
