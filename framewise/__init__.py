"""Client and command of the Framewise video classification service."""

from framewise.client import AsyncClient, Client, ProblemError, ServiceUnreachable

__all__ = ["AsyncClient", "Client", "ProblemError", "ServiceUnreachable"]
