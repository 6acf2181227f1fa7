"""Parses a multipart form with one video as a stream, without holding the video in memory."""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.uploads.bounded_file import BoundedFile, too_large
from service.uploads.errors import MalformedRequest, UnknownField
from service.uploads.file_name import form_file_name
from service.uploads.settings import UploadSettings

_FIELD = b"video"
# Allowance for the boundaries and part headers around the file.
MAX_FORM_OVERHEAD_BYTES = 65536


class VideoForm:
    """Writes the `video` part of a multipart body to a file, and rejects any other part."""

    def __init__(self, boundary: bytes, video: BoundedFile, settings: UploadSettings) -> None:
        self._video = video
        self._settings = settings
        self._num_bytes_received = 0
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._has_video = False
        self._has_ended = False
        self.file_name: str | None = None
        """Name of the video, once its part has begun; None if the part has no name."""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_data,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise MalformedRequest(f"The multipart boundary is invalid: {error}.") from error

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
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedRequest(f"The multipart body is invalid: {error}.") from error

    def finish(self) -> None:
        """Check that the form is complete and had a video.

        Raises:
            MalformedRequest: the closing boundary or the video is missing.
        """
        if not self._has_ended:
            raise MalformedRequest("The multipart body ends before its closing boundary.")
        if not self._has_video:
            raise MalformedRequest("The form has no part named video; it needs exactly one.")

    def _begin_part(self) -> None:
        self._header_name = self._header_value = self._disposition = b""

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
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

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._video.write(data[start:end])

    def _end(self) -> None:
        self._has_ended = True
