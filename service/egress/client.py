"""An HTTP client that connects to allowed hosts only, and by default to public addresses only (SSRF protection).

The client resolves a host once per connection, checks every address, and connects to a checked address itself. So a
name that changes its address after the check (DNS rebinding) cannot redirect the connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from service.egress.addresses import is_public
from service.egress.errors import InvalidUrl, UrlNotAllowed
from service.egress.resolver import resolve_host
from service.egress.urls import parse_url

Resolve = Callable[[str, int | None], Awaitable[list[str]]]
"""Resolves host and port to IP addresses; raises OSError or UnicodeError if it cannot."""

_TIMEOUT = httpx.Timeout(10, connect=5)
# All addresses of a host are checked; connections are attempted to the first of them only.
_MAX_ADDRESSES_TRIED = 4
_LOCATION = "framewise_location"
"""The extension of a response that holds its `Location`."""


def async_client(
    allowed_hosts: Collection[str],
    *,
    is_private_allowed: bool,
    resolve: Resolve = resolve_host,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """An HTTP client that connects to `allowed_hosts` only.

    An entry is `host` (the scheme's default port) or `host:port`; an empty collection allows no host. Unless
    `is_private_allowed`, only https URLs and public addresses are allowed. The client ignores proxy variables, stores
    no cookies and follows no redirect: a caller that follows one (`redirect_url`) sends a new request, which is checked
    again.
    `transport` sends requests to checked addresses; by default over the network.

    Each request raises UrlNotAllowed if the URL or an address of its host is not allowed, and httpx's own errors.

    Raises:
        ValueError: an entry is not a host.
    """
    allowed = frozenset(map(_host_and_port, allowed_hosts))
    return httpx.AsyncClient(
        transport=_CheckingTransport(allowed, is_private_allowed, resolve, transport or _network_transport()),
        timeout=_TIMEOUT,
        trust_env=False,
        # Cookies of one caller must not reach the requests of another.
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
        headers={"Accept-Encoding": "identity", "User-Agent": "framewise"},
    )


def redirect_url(response: httpx.Response) -> httpx.URL | None:
    """The URL that a response of `async_client` redirects to; None if it is not a redirect.

    Raises:
        InvalidUrl: its `Location` is not a URL.
    """
    location = response.extensions.get(_LOCATION)
    return None if location is None else parse_url(location, response.request.url)


def check_url(url: str, allowed_hosts: Collection[str], *, is_private_allowed: bool) -> None:
    """Check a URL by the rules of `async_client` without resolving its host.

    Raises:
        InvalidUrl: it is not a URL.
        UrlNotAllowed: the scheme, host or port is not allowed.
    """
    _check_url(parse_url(url), frozenset(map(_host_and_port, allowed_hosts)), is_private_allowed=is_private_allowed)


def _network_transport() -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(
        # SSL_CERT_FILE may name the trusted certificates; proxy variables are ignored.
        verify=httpx.create_ssl_context(trust_env=True),
        trust_env=False,
        # No connection is reused: it would skip the check of its address, and serve every host at that address.
        # The callers limit the number of concurrent connections.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
    )


class _CheckingTransport(httpx.AsyncBaseTransport):
    """Checks the URL and the addresses of each request, then sends it to one of the checked addresses."""

    def __init__(
        self,
        allowed: frozenset[tuple[str, int | None]],
        is_private_allowed: bool,  # noqa: FBT001
        resolve: Resolve,
        inner: httpx.AsyncBaseTransport,
    ) -> None:
        self._allowed = allowed
        self._is_private_allowed = is_private_allowed
        self._resolve = resolve
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        _check_url(request.url, self._allowed, is_private_allowed=self._is_private_allowed)
        host = request.url.raw_host.decode()
        *alternatives, last = await self._checked_addresses(request, host)
        for address in alternatives:
            try:
                return _without_location(await self._inner.handle_async_request(_addressed_to(address, host, request)))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # No byte of the request was sent, so it is safe to try the next address.
                continue
        return _without_location(await self._inner.handle_async_request(_addressed_to(last, host, request)))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()

    async def _checked_addresses(self, request: httpx.Request, host: str) -> list[str]:
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("connect")):
                addresses = await self._resolve(host, request.url.port)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("The host was not resolved in time.", request=request) from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError("The host cannot be resolved.", request=request) from error
        if not self._is_private_allowed and not all(map(is_public, addresses)):
            # The message does not name the address: it would reveal names of the private network.
            raise UrlNotAllowed("The URL's host has an address outside the public internet.")
        return addresses[:_MAX_ADDRESSES_TRIED]


def _check_url(url: httpx.URL, allowed: frozenset[tuple[str, int | None]], *, is_private_allowed: bool) -> None:
    if url.scheme != "https" and not (url.scheme == "http" and is_private_allowed):
        raise UrlNotAllowed("The URL must begin with https://.")
    if url.userinfo:
        raise UrlNotAllowed("The URL must not contain a user name or password.")
    if (url.raw_host.decode().lower(), url.port) not in allowed:
        raise UrlNotAllowed("The URL's host and port are not among the allowed ones.")


def _addressed_to(address: str, host: str, request: httpx.Request) -> httpx.Request:
    """The request with `address` as its destination; Host header and TLS server name remain `host`."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


def _without_location(response: httpx.Response) -> httpx.Response:
    """The response with its `Location` as an extension, because httpx would parse it, even if no caller needs it."""
    if response.has_redirect_location:
        response.extensions[_LOCATION] = response.headers.pop("Location")
    return response


def _host_and_port(entry: str) -> tuple[str, int | None]:
    try:
        url = parse_url(f"https://{entry}")
    except InvalidUrl as error:
        raise ValueError(f"{entry!r} is not a host: {error}") from error
    if not url.host or set(entry) & set("/?#@*% "):
        raise ValueError(f"{entry!r} is not a host; write host or host:port")
    return url.raw_host.decode().lower(), url.port
