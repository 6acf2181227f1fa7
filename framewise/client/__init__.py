"""Python client of a running service."""

from framewise.client.async_client import AsyncClient
from framewise.client.client import Client
from framewise.client.defaults import DEFAULT_URL
from framewise.client.errors import ProblemError, ServiceUnreachable

__all__ = ["DEFAULT_URL", "AsyncClient", "Client", "ProblemError", "ServiceUnreachable"]
