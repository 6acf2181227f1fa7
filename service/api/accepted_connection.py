"""Refuses the requests of connections above the limits."""

from fastapi import Request

from service.connections.errors import Overloaded
from service.state import AppState

IS_REFUSED = "is_refused"
"""Key in the state of a request, set by `service.api.bounded_protocol`: whether there are too many connections."""


async def require_accepted_connection(request: Request) -> None:
    """Require that the request's connection is within the limits; health probes and scrapes are always served."""
    if getattr(request.state, IS_REFUSED, False):
        AppState.of(request).connections.num_refused += 1
        raise Overloaded("The service has as many connections with requests as it accepts. Try again later.")
