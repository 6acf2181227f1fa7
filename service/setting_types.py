"""Types of settings: comma lists, hosts and origins, each checked when the settings are read."""

import json
import re
from ipaddress import ip_address
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

_Item = TypeVar("_Item")

_HOST_AND_PORT = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65535


def list_items(value: Any) -> Any:
    """The items of a comma list or of a JSON list; any value but a string is returned as it is.

    Raises:
        ValueError: the text begins like a JSON list and is none.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith("["):
        return [item for part in text.split(",") if (item := part.strip())]
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{_shortened(text)} is not a JSON list. Write a,b or ["a", "b"].') from error


CommaList = Annotated[tuple[_Item, ...], NoDecode, BeforeValidator(list_items)]
"""A list that the environment holds as `a,b` or as JSON."""


def require_host(entry: str) -> str:
    """The entry, if it is `host` or `host:port`.

    Raises:
        ValueError: it is anything else, such as a URL or a pattern.
    """
    match = _HOST_AND_PORT.fullmatch(entry)
    if match is None or int(match[2] or 0) > _MAX_PORT or not _is_decodable(entry):
        raise ValueError(
            f"{_shortened(entry)} is not a host. Write host or host:port, without scheme, path and wildcard;"
            " a host with other letters than a to z in its ASCII form (xn--...)."
        )
    return entry


def _is_decodable(host: str) -> bool:
    """Whether the ASCII form of an internationalised name stands for one. Requests to any other name would fail."""
    try:
        return bool(httpx.URL(f"https://{host}").host)
    except (httpx.InvalidURL, ValueError):
        return False


HostAndPort = Annotated[str, AfterValidator(require_host)]
"""`host` or `host:port`."""


def require_origin(entry: str) -> str:
    """The entry, if a browser can send it as the header `Origin`, or `*` for all origins.

    Raises:
        ValueError: no browser sends this value, so it would match no request.
    """
    if entry in {"*", "null"}:
        return entry
    sent = _sent_origin(entry)
    if sent == entry:
        return entry
    remedy = f"Write {sent}" if sent is not None else "Write scheme://host or scheme://host:port"
    if "*" in entry:
        remedy = "Wildcards within an origin are not supported. List each origin, or write * for all"
    raise ValueError(f"{_shortened(entry)} can match no request: it is not what browsers send as Origin. {remedy}.")


Origin = Annotated[str, AfterValidator(require_origin)]
"""An origin in the form in which browsers send it."""


def require_bindable_host(host: str) -> str:
    """The host, if a server can listen on it: a name or an address without scheme, port and brackets.

    Raises:
        ValueError: it is anything else.
    """
    try:
        is_bindable = re.fullmatch(r"[A-Za-z0-9._-]+", host, re.ASCII) is not None or ip_address(host).version > 0
    except ValueError:
        is_bindable = False
    if not is_bindable:
        raise ValueError(
            f"{_shortened(host)} is not an address to listen on. Write an IP address or a name, such as 0.0.0.0;"
            " the port is SERVICE_PORT."
        )
    return host


def require_no_link(port: Any) -> Any:
    """The port, unless Kubernetes set it; of a Service named `service` every container gets `SERVICE_PORT=tcp://...`.

    Raises:
        ValueError: the value is such a link.
    """
    if isinstance(port, str) and re.match(r"(tcp|udp|sctp)://", port) is not None:
        raise ValueError(
            f"{_shortened(port)} is a link that Kubernetes or Docker sets for a Service named `service`. Set"
            " SERVICE_PORT in the container, set enableServiceLinks to false in the Pod, or rename the Service."
        )
    return port


def _sent_origin(entry: str) -> str | None:
    """The nearest value that browsers send; None if there is none."""
    text = entry.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname, parts.port
        if not host or _SCHEME.fullmatch(parts.scheme) is None or parts.username is not None:
            return None
        host = host if ":" in host else host.encode("idna").decode()
    except ValueError:
        return None
    if set(host) & set(" *%\"'<>\\"):
        return None
    host = f"[{host}]" if ":" in host else host
    suffix = "" if port is None or port == _DEFAULT_PORTS.get(parts.scheme) else f":{port}"
    return f"{parts.scheme}://{host}{suffix}"


def _shortened(text: str) -> str:
    """The text in quotes on one line, at most 80 characters of it."""
    max_characters = 80
    return repr(text if len(text) <= max_characters else f"{text[:max_characters]}...")


MAX_PREFIX_CHARACTERS = 256
_PATH_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~@+-]+)+", re.ASCII)


def is_path_prefix(text: str) -> bool:
    """Whether a text is a path without a slash at its end, of characters that need no encoding."""
    return len(text) <= MAX_PREFIX_CHARACTERS and _PATH_PREFIX.fullmatch(text) is not None


def require_path_prefix(value: str) -> str:
    """The path without slashes at its end; raises ValueError unless it is empty or `is_path_prefix` then."""
    prefix = value.rstrip("/")
    if prefix and not is_path_prefix(prefix):
        raise ValueError(
            f"{_shortened(value)} is not a path such as /video: parts of letters, digits and ._~@+-, at most "
            f"{MAX_PREFIX_CHARACTERS} characters."
        )
    return prefix
