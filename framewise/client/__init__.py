"""The Python client of a running service."""

from framewise.client.client import DEFAULT_URL, AsyncClient, Client, ProblemError
from framewise.client.retries import ServiceUnreachable

__all__ = ["DEFAULT_URL", "AsyncClient", "Client", "ProblemError", "ServiceUnreachable"]
