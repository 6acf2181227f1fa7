"""The Python client, importable from a checkout under the name of the service."""

from framewise.client import DEFAULT_URL, AsyncClient, Client, ProblemError, ServiceUnreachable

__all__ = ["DEFAULT_URL", "AsyncClient", "Client", "ProblemError", "ServiceUnreachable"]
