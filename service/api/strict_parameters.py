"""Refuses unknown query parameters, and parameters and headers that are given twice.

Otherwise the service would use the last of two values, and a proxy before it perhaps the first.
"""

from collections import Counter
from collections.abc import Iterable

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute


async def require_known_parameters(request: Request) -> None:
    """Refuse a request that gives a parameter twice, or any parameter to a route without parameters.

    FastAPI itself refuses unknown parameters of routes with parameters.

    Raises:
        RequestValidationError: a parameter is unknown or given twice.
    """
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    names = Counter(name for name, _ in request.query_params.multi_items())
    faults = [_fault("query", name, "Given more than once") for name, count in names.items() if count > 1]
    if not route.dependant.query_params:
        faults += [_fault("query", name, "There is no such parameter") for name in names]
    faults += [
        _fault("header", name, "Given more than once")
        for name in _header_names(route)
        if len(request.headers.getlist(name)) > 1
    ]
    if faults:
        raise RequestValidationError(faults)


def _header_names(route: APIRoute) -> Iterable[str]:
    return (field.alias for field in route.dependant.header_params)


def _fault(location: str, name: str, message: str) -> dict[str, object]:
    return {"type": "value_error", "loc": (location, name), "msg": message}
