"""A file that never exceeds the upload limit."""

import hashlib
from typing import BinaryIO

from service.uploads.errors import UploadTooLarge
from service.uploads.settings import UploadSettings


class BoundedFile:
    """Writes at most the allowed number of bytes, and computes their SHA-256."""

    def __init__(self, file: BinaryIO, settings: UploadSettings) -> None:
        self._file = file
        self._settings = settings
        self._digest = hashlib.sha256()
        self.num_bytes = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Append `data`. Blocks.

        Raises:
            UploadTooLarge: the file would exceed the limit; `data` is not written.
        """
        self.num_bytes += len(data)
        if self.num_bytes > self._settings.max_upload_bytes:
            raise too_large(self._settings)
        self._digest.update(data)
        self._file.write(data)


def too_large(settings: UploadSettings) -> UploadTooLarge:
    """The error for a video with more bytes than `settings` allow, received or announced."""
    return UploadTooLarge(
        f"The video is larger than the allowed {settings.max_upload_bytes / (1 << 20):.4g} MiB"
        f" ({settings.max_upload_bytes} bytes, SERVICE_MAX_UPLOAD_BYTES)."
    )
