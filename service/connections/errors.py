"""Errors of connections."""


class Overloaded(Exception):
    """The service has all the connections, or all the open files, that it may have."""
