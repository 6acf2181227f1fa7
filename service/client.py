"""The client under the name `service.client`, for use from a checkout."""

from framewise.client import DEFAULT_URL, AsyncClient, Client, ProblemError, ServiceUnreachable

__all__ = ["DEFAULT_URL", "AsyncClient", "Client", "ProblemError", "ServiceUnreachable"]
