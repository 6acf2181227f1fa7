"""Errors of outgoing requests."""


class UrlNotAllowed(Exception):
    """The URL's scheme, host or address is not allowed; `str(error)` is safe to show to the client."""


class InvalidUrl(ValueError):
    """The text is not a URL; `str(error)` is safe to show to the client."""
