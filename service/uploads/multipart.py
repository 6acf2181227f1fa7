"""Parses a multipart form with one video as a stream, without holding the video in memory.

Parsers of the Python libraries step through false boundaries in the content byte by byte: such a body takes them fifty
times the processor time of zeros, in the event loop. Here one compiled expression searches each chunk, so that every
body takes time proportional to its size.
"""

import re
from collections.abc import Callable

from python_multipart.multipart import parse_options_header

from service.uploads.bounded_file import BoundedFile, too_large
from service.uploads.errors import MalformedRequest, UnknownField
from service.uploads.file_name import form_file_name
from service.uploads.settings import UploadSettings

_FIELD = b"video"
# Allowance for the boundaries and part headers around the file.
MAX_FORM_OVERHEAD_BYTES = 65536
MAX_BOUNDARY_BYTES = 256
MAX_PREAMBLE_BYTES = 32768
MAX_PART_HEAD_BYTES = 16384
MAX_PADDING_BYTES = 64
"""Most spaces between a boundary and the end of its line; a line with more is content."""

_LINE_END = b"\r\n"
_HEAD_END = b"\r\n\r\n"
_FOLD = re.compile(rb"\r\n[ \t]+")
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class VideoForm:
    """Writes the `video` part of a multipart body (RFC 2046, 7578) to a file, and rejects any other part.

    A delimiter is the boundary after a line break and two hyphens, followed by two hyphens if it closes the form, else
    by optional spaces and a line break. Content before the first delimiter and after the closing one is ignored.
    """

    def __init__(self, boundary: bytes, video: BoundedFile, settings: UploadSettings) -> None:
        if len(boundary) > MAX_BOUNDARY_BYTES:
            raise MalformedRequest(
                f"The multipart boundary has {len(boundary)} bytes; the limit is {MAX_BOUNDARY_BYTES}."
            )
        self._video = video
        self._settings = settings
        self._num_bytes_received = 0
        self._num_preamble_bytes = 0
        self._has_video = False
        self._has_ended = False
        self.file_name: str | None = None
        """Name of the video, once its part has begun; None if the part has no name."""
        line = re.escape(_LINE_END + b"--" + boundary)
        self._delimiter = re.compile(line + rb"(?:(?P<closing>--)|[ \t]{0,%d}\r\n)" % MAX_PADDING_BYTES)
        # The beginning of a delimiter, whose rest the next chunk may bring.
        self._max_undecided_bytes = len(_LINE_END + b"--" + boundary) + MAX_PADDING_BYTES + len(_LINE_END) - 1
        # The form may begin with a boundary, without a line break before it.
        self._rest = _LINE_END
        self._step: Callable[[], bool] = self._skip_preamble

    def write(self, chunk: bytes) -> None:
        """Parse the next bytes of the body. Blocks.

        Raises:
            MalformedRequest: the body is not a valid form, or has several videos.
            UnknownField: a part has another name than `video`.
            UploadTooLarge: the body exceeds its limit.
        """
        self._num_bytes_received += len(chunk)
        if self._num_bytes_received > self._settings.max_upload_bytes + MAX_FORM_OVERHEAD_BYTES:
            raise too_large(self._settings)
        self._rest += chunk
        while self._step():
            pass

    def finish(self) -> None:
        """Check that the form is complete and had a video.

        Raises:
            MalformedRequest: the closing boundary or the video is missing.
        """
        if not self._has_ended:
            raise MalformedRequest("The multipart body ends before its closing boundary.")
        if not self._has_video:
            raise MalformedRequest("The form has no part named video; it needs exactly one.")

    # Each step takes the bytes that it can decide from `_rest`, and returns whether the next step can begin.

    def _skip_preamble(self) -> bool:
        skipped, is_at_end = self._take_until_delimiter()
        self._num_preamble_bytes += len(skipped)
        if self._num_preamble_bytes > MAX_PREAMBLE_BYTES:
            raise MalformedRequest(
                f"The first {MAX_PREAMBLE_BYTES} bytes of the multipart body have no boundary of its Content-Type."
            )
        return is_at_end

    def _read_head(self) -> bool:
        # `_rest` begins with the line break before the first header.
        end, last_end = self._rest.find(_HEAD_END), len(_LINE_END) + MAX_PART_HEAD_BYTES
        if end > last_end or (end < 0 and len(self._rest) >= last_end + len(_HEAD_END)):
            raise MalformedRequest(f"The headers of a part have more than the allowed {MAX_PART_HEAD_BYTES} bytes.")
        if end < 0:
            return False
        head, self._rest = self._rest[len(_LINE_END) : end], self._rest[end + len(_HEAD_END) :]
        self._check_name(_disposition(head))
        self._step = self._write_content
        return True

    def _write_content(self) -> bool:
        content, is_at_end = self._take_until_delimiter()
        self._video.write(content)
        return is_at_end

    def _skip_epilogue(self) -> bool:
        self._rest = b""
        return False

    def _take_until_delimiter(self) -> tuple[bytes, bool]:
        """The bytes before the next delimiter, as far as they are known, and whether the delimiter follows."""
        rest = self._rest
        delimiter = self._delimiter.search(rest)
        if delimiter is None:
            num_decided = max(0, len(rest) - self._max_undecided_bytes)
            self._rest = rest[num_decided:]
            return rest[:num_decided], False
        self._has_ended = delimiter["closing"] is not None
        self._step = self._skip_epilogue if self._has_ended else self._read_head
        self._rest = rest[delimiter.end() - len(_LINE_END) :]
        return rest[: delimiter.start()], True

    def _check_name(self, disposition: bytes) -> None:
        _, options = parse_options_header(disposition)
        name = options.get(b"name")
        if name is None:
            raise MalformedRequest("A part of the form has no name; its name must be video.")
        if name != _FIELD:
            raise UnknownField(
                f"The form has an unknown field {name.decode(errors='replace')[:64]!r}; the only field is 'video'."
            )
        if self._has_video:
            raise MalformedRequest("The form has more than one part named video; send one video per request.")
        self._has_video = True
        self.file_name = form_file_name(options.get(b"filename", b""))


def _disposition(head: bytes) -> bytes:
    """The value of Content-Disposition in the headers of a part, empty if there is none; raises MalformedRequest."""
    disposition = b""
    for line in _FOLD.sub(b" ", head).split(_LINE_END) if head else ():
        name, colon, value = line.partition(b":")
        if not colon or not _HEADER_NAME.fullmatch(name):
            raise MalformedRequest("A part of the form has an invalid header.")
        if name.lower() == b"content-disposition":
            disposition = value.strip(b" \t")
    return disposition
