"""Parses the URLs of clients and of the servers that they name: everything that can fail, fails here."""

import httpx

from service.egress.errors import InvalidUrl


def parse_url(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """The URL that `text` states, relative to `base` if that is given. Each of its parts can be read.

    Raises:
        InvalidUrl: `text` is not a URL.
    """
    try:
        url = httpx.URL(text)
        if base is not None:
            url = base.join(url)
        # httpx decodes an internationalised name when it is read, also within its own requests.
        _ = url.host
    except (httpx.InvalidURL, ValueError) as error:
        raise InvalidUrl(f"The URL is invalid: {error}.") from error
    return url


def host_and_port(text: str) -> str:
    """Host and port of the URL that `text` states, such as `example.org`; the default port is omitted.

    Raises:
        InvalidUrl: `text` is not a URL.
    """
    return parse_url(text).netloc.decode("ascii")
