"""A video that the caller names by its URL instead of sending it: fetched under the limits of an upload.

Off until hosts are allowed. Redirects are followed here, a few of them, each asked for like the first URL
and judged like it by `service.egress`.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import httpx
from pydantic import ValidationError

from framewise.schemas.prediction import VideoUrl
from service.egress import UrlNotAllowed, async_client
from service.telemetry.spans import current_traceparent
from service.uploads.bounded_file import too_large
from service.uploads.errors import MalformedRequest, UnknownField, UploadTooSlow, UrlTooSlow, UrlUnreachable
from service.uploads.receive import ReceivedVideo, receive_bytes, receive_file
from service.uploads.settings import UploadSettings

_MAX_JSON_BYTES = 16384
_MAX_REDIRECTS = 5
# How long each read may take is the upload's limits to say.
_TIMEOUT = httpx.Timeout(None, connect=5)


class UrlInput:
    """Fetches the videos that callers name; close it in the end."""

    def __init__(self, settings: UploadSettings) -> None:
        self._client = async_client(settings.url_allowed_hosts, is_private_allowed=settings.url_private_allowed)
        self._settings = settings

    async def receive(self, body: AsyncIterator[bytes], path: Path) -> ReceivedVideo:
        """Write the video whose URL the JSON in `body` tells to `path`, digesting it on the way.

        Raises:
            MalformedRequest, UnknownField: the body is not `{"url": "..."}`.
            UrlNotAllowed: the URL, or one that it redirects to, is not one that may be asked.
            UrlUnreachable, UrlTooSlow: as their names say.
            UploadTooLarge, UploadTooSlow, OSError: as for an upload.
        """
        url = _read_url(await receive_bytes(body, _MAX_JSON_BYTES, self._settings))
        async with aclosing(self._chunks(url)) as chunks:
            try:
                return await receive_file(chunks, path, self._settings)
            except UploadTooSlow:
                raise UrlTooSlow("The URL's server took too long.") from None

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _chunks(self, url: httpx.URL) -> AsyncGenerator[bytes, None]:
        """The bytes of the file behind `url`; an empty chunk for each redirect, which is no pause either."""
        parent = current_traceparent()
        headers = None if parent is None else {"traceparent": parent}
        request: httpx.Request | None = self._client.build_request("GET", url, headers=headers, timeout=_TIMEOUT)
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                assert request is not None
                response = await self._client.send(request, stream=True)
                async with aclosing(response):
                    if (request := response.next_request) is None:
                        self._judge(response)
                        async for chunk in response.aiter_raw():
                            yield chunk
                        return
                yield b""
        except httpx.TimeoutException as error:
            raise UrlTooSlow("The URL's server took too long.") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise UrlNotAllowed("What the URL leads to is no URL that may be asked.") from error
        except httpx.RequestError as error:
            raise UrlUnreachable("The URL's server cannot be reached, or broke off in the middle.") from error
        raise UrlUnreachable(f"The URL leads to more than {_MAX_REDIRECTS} redirects.")

    def _judge(self, response: httpx.Response) -> None:
        if response.status_code != httpx.codes.OK:
            raise UrlUnreachable(f"The URL's server answers with the status {response.status_code}.")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise UrlUnreachable("The URL's server sends the file in an encoding that was not asked for.")
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._settings.max_upload_bytes:
            raise too_large(self._settings)


def _read_url(body: bytes) -> httpx.URL:
    try:
        return httpx.URL(VideoUrl.model_validate_json(body).url)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])[:64]
        if fault["type"] == "extra_forbidden":
            raise UnknownField(f"The body has an unknown field {where!r}.") from error
        raise MalformedRequest(f'The body must be {{"url": "..."}}: {where or "it"}: {fault["msg"]}.') from error
    except httpx.InvalidURL as error:
        raise MalformedRequest(f"The URL cannot be read: {error}.") from error
