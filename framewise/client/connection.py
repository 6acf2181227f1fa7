"""Checks what a client is given to connect with: address, key, proxies. Opens no connection."""

import os
import re
from urllib.request import proxy_bypass

import httpx

from framewise.client.errors import InvalidArgument

_MAX_KEY_CHARACTERS = 1024


class Address:
    """The address of a service."""

    def __init__(self, url: str) -> None:
        """Check `url`.

        Raises:
            InvalidArgument: it is not the http or https URL of a host.
        """
        try:
            parsed = httpx.URL(url.strip())
            # Percent signs are in the zones of IPv6 addresses only.
            is_host = parsed.host != "" and (":" in parsed.host or re.search(r"[\s%]", parsed.host) is None)
            is_valid = parsed.scheme in {"http", "https"} and is_host
        except (httpx.InvalidURL, ValueError):
            is_valid = False
        if not is_valid:
            raise InvalidArgument(
                f"{_without_password(url)!r} is not the address of a service. Write http://host:port."
            )
        self.url = str(parsed.copy_with(query=None, fragment=None)).rstrip("/")
        self.shown = str(parsed.copy_with(username=None, password=None, query=None, fragment=None)).rstrip("/")
        """The address without user and password."""
        self.proxy_variable = _proxy_variable(parsed.scheme, parsed.host)
        """Name of the environment variable whose proxy the requests use; None without a proxy."""


def authorization(api_key: str | None) -> dict[str, str]:
    """The request headers for an API key, whose surrounding white space is dropped; empty without a key.

    Raises:
        InvalidArgument: the key has characters that cannot be sent. The message does not show the key.
    """
    key = (api_key or "").strip()
    if not key:
        return {}
    if re.fullmatch(r"[\x21-\x7e]+", key) is None or len(key) > _MAX_KEY_CHARACTERS:
        raise InvalidArgument(
            "The API key cannot be sent: a key is one line of ASCII characters without spaces. It is not shown here."
        )
    return {"Authorization": f"Bearer {key}"}


def require_idempotency_key(key: str) -> str:
    """The idempotency key.

    Raises:
        InvalidArgument: the service accepts no such key.
    """
    if re.fullmatch(r"[\x20-\x7e]{1,128}", key) is None:
        raise InvalidArgument("The idempotency key must have 1 to 128 ASCII characters, in one line.")
    return key


def setup_error(error: Exception, address: Address) -> InvalidArgument:
    """The error for a proxy variable or a certificate file that the HTTP library cannot use."""
    variable = address.proxy_variable
    if isinstance(error, ImportError):
        fact, remedy = "it names a SOCKS proxy", "pip install 'httpx[socks]', or name an HTTP proxy"
    elif isinstance(error, OSError):
        # It loads the certificates from these.
        return InvalidArgument(f"The certificates of SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {error.strerror}.")
    else:
        fact, remedy = "it is not the URL of a proxy", "write http://host:port"
    return InvalidArgument(
        f"{variable or 'A proxy variable'} cannot be used: {fact}. Remedy: {remedy}, or list the host in NO_PROXY."
    )


def _proxy_variable(scheme: str, host: str) -> str | None:
    if proxy_bypass(host):
        return None
    names = (name for kind in (scheme, "all") for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY"))
    return next((name for name in names if os.environ.get(name)), None)


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)[:200]
