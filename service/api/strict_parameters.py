"""What may be asked: query parameters that the route knows, and each name once, in the query as in the head.

Without this the last of two values would be heeded and the other passed over, by us; by a proxy before us, perhaps
the other way round.
"""

from collections import Counter
from collections.abc import Iterable

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute


async def ask_once(request: Request) -> None:
    """Let pass a request that gives no parameter twice, and none to a route that has none.

    Raises:
        RequestValidationError: it does. Of a route that has parameters, FastAPI knows which are not among them.
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


def _fault(place: str, name: str, message: str) -> dict[str, object]:
    return {"type": "value_error", "loc": (place, name), "msg": message}
