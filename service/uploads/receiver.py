"""Receives the video of a request, from its body or from the URL that its body names."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from service.uploads.from_url import UrlFetcher
from service.uploads.receive import ReceivedVideo, is_json, receive_bytes, receive_video
from service.uploads.settings import UploadSettings


@dataclass(frozen=True, slots=True)
class Upload:
    """A request's body before it is received; `caller` is the API key or the client's address."""

    caller: str
    body: AsyncIterator[bytes]
    content_type: str
    content_length: int | None


class UploadReceiver:
    """Receives uploads within their limits of size and time. Close it at the end."""

    def __init__(self, settings: UploadSettings) -> None:
        self._settings = settings
        self._urls = UrlFetcher(settings)

    async def receive(self, upload: Upload, path: Path) -> ReceivedVideo:
        """Write the video of `upload` to `path`.

        Raises the errors of `service.uploads.receive.receive_video` and `service.uploads.from_url.UrlFetcher.receive`.
        """
        if is_json(upload.content_type):
            return await self._urls.receive(upload.body, path)
        return await receive_video(upload.body, upload.content_type, upload.content_length, path, self._settings)

    async def receive_bytes(self, upload: Upload, max_bytes: int) -> bytes:
        """Return the body of `upload`, at most `max_bytes` long; raises UploadTooLarge and UploadTooSlow."""
        return await receive_bytes(upload.body, max_bytes, self._settings)

    def max_bytes(self, upload: Upload) -> int:
        """Return the largest size in bytes that the video of `upload` may have."""
        max_bytes = self._settings.max_upload_bytes
        # The size of a video behind a URL is unknown.
        return max_bytes if is_json(upload.content_type) else min(upload.content_length or max_bytes, max_bytes)

    async def close(self) -> None:
        """Close the connections to the servers of URLs."""
        await self._urls.close()
