"""A file that never grows beyond the limit of an upload."""

import hashlib
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict

from service.uploads.errors import UploadTooLarge


class UploadLimits(BaseModel):
    """How much and how long one upload may be."""

    model_config = ConfigDict(frozen=True)

    max_bytes: int
    idle_timeout_seconds: float
    timeout_seconds: float


class BoundedFile:
    """Takes no more bytes than allowed, and digests them."""

    def __init__(self, file: BinaryIO, limits: UploadLimits) -> None:
        self._file = file
        self._limits = limits
        self._digest = hashlib.sha256()
        self.num_bytes = 0

    @property
    def sha256(self) -> str:
        """Digest of the bytes written so far, in hexadecimal digits."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Append `data`. Blocks.

        Raises:
            UploadTooLarge: the file would exceed its limit; `data` is not written.
        """
        self.num_bytes += len(data)
        if self.num_bytes > self._limits.max_bytes:
            raise too_large(self._limits)
        self._digest.update(data)
        self._file.write(data)


def too_large(limits: UploadLimits) -> UploadTooLarge:
    """What is said of a video of more bytes than `limits` allow, received or announced."""
    return UploadTooLarge(f"The video is larger than the allowed {limits.max_bytes} bytes.")
