"""Fetches a video from a URL that the client sends instead of the file, under the limits of an upload.

Disabled unless `SERVICE_URL_ALLOWED_HOSTS` is set. `service.egress` checks the URL, and the target of each redirect.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import httpx
from pydantic import ValidationError

from framewise.schemas.prediction import VideoUrl
from service.egress.client import Resolve, async_client, redirect_url
from service.egress.errors import InvalidUrl, UrlNotAllowed
from service.egress.resolver import resolve_host
from service.egress.urls import parse_url
from service.telemetry.spans import current_traceparent
from service.uploads.bounded_file import too_large
from service.uploads.errors import MalformedRequest, UnknownField, UploadTooSlow, UrlTooSlow, UrlUnreachable
from service.uploads.file_name import displayed_file_name
from service.uploads.receive import ReceivedVideo, receive_bytes, receive_file
from service.uploads.settings import UploadSettings

_MAX_JSON_BYTES = 16384
_MAX_REDIRECTS = 5
# The upload settings limit the time of each read and of the whole download.
_TIMEOUT = httpx.Timeout(None, connect=5)


class UrlFetcher:
    """Fetches videos by URL; call `close` at the end."""

    def __init__(
        self,
        settings: UploadSettings,
        *,
        resolve: Resolve = resolve_host,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`resolve` and `transport` are those of `service.egress.client.async_client`."""
        self._client = async_client(
            settings.url_allowed_hosts,
            is_private_allowed=settings.url_private_allowed,
            resolve=resolve,
            transport=transport,
        )
        self._settings = settings

    async def receive(self, body: AsyncIterator[bytes], path: Path) -> ReceivedVideo:
        """Read a URL from the JSON in `body`, and write the video at that URL to `path`.

        Raises:
            MalformedRequest, UnknownField: the body is not `{"url": "..."}`.
            UrlNotAllowed: the URL or a redirect leads to a host or address that is not allowed.
            UrlUnreachable: the server does not return the whole file.
            UrlTooSlow: the server pauses or takes longer than an upload may.
            UploadTooLarge, UploadTooSlow, StorageFull, StorageUnavailable: as for an upload.
        """
        url = _read_url(await receive_bytes(body, _MAX_JSON_BYTES, self._settings))
        async with aclosing(self._chunks(url)) as chunks:
            try:
                video = await receive_file(chunks, path, self._settings)
            except UploadTooSlow:
                raise self._too_slow() from None
        return replace(video, file_name=displayed_file_name(url.path))

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _chunks(self, url: httpx.URL) -> AsyncGenerator[bytes, None]:
        """The bytes of the file at `url`; an empty chunk per redirect, so that a redirect does not count as a pause."""
        parent = current_traceparent()
        headers = None if parent is None else {"traceparent": parent}
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                request = self._client.build_request("GET", url, headers=headers, timeout=_TIMEOUT)
                response = await self._client.send(request, stream=True)
                async with aclosing(response):
                    if (target := redirect_url(response)) is None:
                        self._check(response)
                        async for chunk in response.aiter_raw():
                            yield chunk
                        return
                url = target
                yield b""
        except httpx.TimeoutException as error:
            raise self._too_slow() from error
        except (InvalidUrl, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise UrlNotAllowed("The URL, or a redirect from it, is not a valid URL.") from error
        except httpx.RequestError as error:
            raise UrlUnreachable(
                "The URL's server cannot be reached, or the connection broke before the end of the file."
            ) from error
        raise UrlUnreachable(f"The URL leads to more than {_MAX_REDIRECTS} redirects. Send the final URL.")

    def _check(self, response: httpx.Response) -> None:
        if response.status_code != httpx.codes.OK:
            raise UrlUnreachable(f"The URL's server returned status {response.status_code} instead of 200.")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise UrlUnreachable("The URL's server sent a Content-Encoding; the file must be sent unencoded.")
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._settings.max_upload_bytes:
            raise too_large(self._settings)

    def _too_slow(self) -> UrlTooSlow:
        return UrlTooSlow(
            f"The URL's server was too slow: it may pause for {self._settings.upload_idle_timeout_seconds:g} s, and "
            f"take {self._settings.upload_timeout_seconds:g} s in all."
        )


def _read_url(body: bytes) -> httpx.URL:
    try:
        return parse_url(VideoUrl.model_validate_json(body).url)
    except InvalidUrl as error:
        raise MalformedRequest(str(error)) from error
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])[:64]
        if fault["type"] == "extra_forbidden":
            raise UnknownField(f"The body has an unknown field {where!r}; the only field is 'url'.") from error
        raise MalformedRequest(f'The body must be {{"url": "..."}}: {where or "body"}: {fault["msg"]}.') from error
