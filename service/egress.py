"""Asking other servers, without being talked into asking one that must not be asked.

Knows hosts and addresses, and nothing of what is asked for. A host is resolved once for each connection,
every address it has is judged, and the connection goes to a judged address itself: a name that is given
another address in between (DNS rebinding) gains nothing.
"""

import asyncio
import socket
from collections.abc import Collection
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

_TIMEOUT = httpx.Timeout(10, connect=5)
# Of a host with more addresses than these, the rest are judged but not tried.
_MAX_ADDRESSES_TRIED = 4

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = (
    # Teredo and its like, and 6to4: an IPv4 address is somewhere inside, behind a relay of unknown honesty.
    IPv6Network("2001::/23"),
    IPv6Network("2002::/16"),
    # Special by IANA's registries, which not every Python knows.
    IPv6Network("3fff::/20"),
    IPv4Network("192.0.0.0/24"),
    # Azure's agent answers every virtual machine at this address, which looks like anybody's.
    IPv4Network("168.63.129.16/32"),
)


class UrlNotAllowed(Exception):
    """The URL's scheme, host or address is not one that may be asked; `str(error)` is safe to show."""


def async_client(allowed_hosts: Collection[str], *, is_private_allowed: bool) -> httpx.AsyncClient:
    """A client that asks `allowed_hosts` and nobody else.

    An entry is `host` for the scheme's own port, or `host:port`; an empty collection allows nothing.
    Unless `is_private_allowed`, only https is spoken, and only to addresses of the public internet.
    Proxies of the environment are passed over, cookies are not kept, redirects are answers like any
    other: who follows one asks for its target anew, which is judged anew.

    Raises, from each request, UrlNotAllowed for what must not be asked, and what httpx raises.

    Raises:
        ValueError: an entry is no host.
    """
    return httpx.AsyncClient(
        transport=_JudgingTransport(frozenset(map(_host_and_port, allowed_hosts)), is_private_allowed),
        timeout=_TIMEOUT,
        trust_env=False,
        # One caller's cookies are not sent along with another's request.
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
        headers={"Accept-Encoding": "identity", "User-Agent": "framewise"},
    )


def judge_url(url: httpx.URL, allowed_hosts: Collection[str], *, is_private_allowed: bool) -> None:
    """Pass where the client of the same arguments would ask `url`, as far as that is known before its host is resolved.

    Raises:
        UrlNotAllowed: it would not.
    """
    _judge_url(url, frozenset(map(_host_and_port, allowed_hosts)), is_private_allowed=is_private_allowed)


def is_public(address: str) -> bool:
    """Whether an address, as the resolver writes it, is one of the public internet."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None and parsed not in _NAT64:
            return parsed in _GLOBAL_UNICAST and _is_ordinary(parsed)
        # Both kinds end up at the IPv4 address in their last four bytes.
        parsed = IPv4Address(parsed.packed[-4:])
    return _is_ordinary(parsed)


def _is_ordinary(address: IPv4Address | IPv6Address) -> bool:
    is_special = address.is_multicast or address.is_reserved or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not is_special


class _JudgingTransport(httpx.AsyncBaseTransport):
    """Judges each request's URL and addresses, and connects to one of the addresses judged."""

    def __init__(self, allowed: frozenset[tuple[str, int | None]], is_private_allowed: bool) -> None:  # noqa: FBT001
        self._allowed = allowed
        self._is_private_allowed = is_private_allowed
        self._inner = httpx.AsyncHTTPTransport(
            # The environment may name the certificates to trust (SSL_CERT_FILE), but no proxy.
            verify=httpx.create_ssl_context(trust_env=True),
            trust_env=False,
            # A connection serves one request: a kept one would outlive the judgement of its address, and answer
            # for every host at that address. How many there are at once is for those who ask to bound.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        _judge_url(request.url, self._allowed, is_private_allowed=self._is_private_allowed)
        host = request.url.raw_host.decode()
        *others, last = await self._judged_addresses(request)
        for address in others:
            try:
                return await self._inner.handle_async_request(_sent_to(address, host, request))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # Nothing of the request was sent.
                continue
        return await self._inner.handle_async_request(_sent_to(last, host, request))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()

    async def _judged_addresses(self, request: httpx.Request) -> list[str]:
        """The addresses of the request's host, each of them one that may be asked: at most as many as are tried."""
        addresses = await _resolve(request)
        if not self._is_private_allowed and not all(map(is_public, addresses)):
            # Which address it is, is nobody's business.
            raise UrlNotAllowed("The URL's host has an address that is not one of the public internet.")
        return addresses[:_MAX_ADDRESSES_TRIED]


def _judge_url(url: httpx.URL, allowed: frozenset[tuple[str, int | None]], *, is_private_allowed: bool) -> None:
    if url.scheme != "https" and not (url.scheme == "http" and is_private_allowed):
        raise UrlNotAllowed("Only https is spoken.")
    if url.userinfo:
        raise UrlNotAllowed("A URL with a user or a password in it is not asked.")
    if (url.raw_host.decode().lower(), url.port) not in allowed:
        raise UrlNotAllowed("The URL's host and port are not among those that may be asked.")


async def _resolve(request: httpx.Request) -> list[str]:
    url = request.url
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(request.extensions.get("timeout", {}).get("connect")):
            found = await loop.getaddrinfo(url.raw_host.decode(), url.port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpx.ConnectTimeout("The host was not resolved in time.", request=request) from error
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError("The host cannot be resolved.", request=request) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _sent_to(address: str, host: str, request: httpx.Request) -> httpx.Request:
    """The request, bound for `address`; its Host header and the name its certificate must be for stay the host's."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


def _host_and_port(entry: str) -> tuple[str, int | None]:
    try:
        url = httpx.URL(f"https://{entry}")
    except httpx.InvalidURL as error:
        raise ValueError(f"{entry!r} is no host: {error}") from error
    if not url.host or set(entry) & set("/?#@*% "):
        raise ValueError(f"{entry!r} is no host")
    return url.raw_host.decode().lower(), url.port
