"""Client and command of the Framewise video classification service."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framewise.client import AsyncClient, Client, ProblemError, ServiceUnreachable

__all__ = ["AsyncClient", "Client", "ProblemError", "ServiceUnreachable"]


def __getattr__(name: str) -> Any:
    """Import the client on first use: the service shares the schemas alone, also with its decode workers."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import framewise.client  # noqa: PLC0415

    return getattr(framewise.client, name)
