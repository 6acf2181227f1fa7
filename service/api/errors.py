"""Errors of the HTTP layer."""


class ClientDisconnected(Exception):
    """The client closed the connection before the response was ready."""
