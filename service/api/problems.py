"""Responds to every error with a problem of the table (RFC 9457).

error below the routes ──> TABLE ──> application/problem+json (code, public message)
                                └──> log (the rest)
"""

import errno
import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from framewise.schemas.problem import Problem
from service.api.access_log import note
from service.api.errors import ClientDisconnected
from service.api.path_prefix import route_path
from service.api.problem_table import TABLE, ProblemKind
from service.connections.errors import Overloaded
from service.keys.errors import RateExceeded, Unauthorized
from service.prediction.errors import Busy
from service.uploads.content_encoding import ENCODINGS
from service.uploads.errors import UnsupportedEncoding

_log = logging.getLogger(__name__)

_MAX_FAULTS = 8
# The Open Inference Protocol defines the form of its errors.
_OPEN_INFERENCE = "/v2/"
_METHODS = ("GET", "POST", "PUT", "DELETE")
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}


def install(app: FastAPI) -> None:
    """Respond to every error of `app` with a problem of the table."""
    for kind in TABLE:
        app.add_exception_handler(kind, _respond_to_error)
    app.add_exception_handler(OSError, _respond_to_os_error)
    app.add_exception_handler(HTTPException, _respond_to_http_error)
    app.add_exception_handler(ClientDisconnected, _respond_to_disconnect)


def problem_response(request: Request, kind: ProblemKind, detail: str, headers: dict[str, str]) -> JSONResponse:
    """Return the response that reports a problem."""
    note(request, code=kind.code)
    if f"{route_path(request.scope)}/".startswith(_OPEN_INFERENCE):
        return JSONResponse({"error": detail}, status_code=kind.status, headers=headers)
    problem = _problem(kind, detail, request.state.request_id)
    return JSONResponse(
        problem.model_dump(), status_code=kind.status, headers=headers, media_type="application/problem+json"
    )


def explain(error: Exception, request_id: str) -> Problem:
    """Return the problem that a request with this id would get for `error`."""
    kind = _kind(error)
    return _problem(kind, str(error) if kind.is_detail_public else kind.meaning, request_id)


def explain_and_log(error: Exception, request_id: str, **log_fields: str) -> Problem:
    """Return the problem of `error`, and log its traceback if the service is at fault (status 500)."""
    problem = explain(error, request_id)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("internal error", exc_info=error, extra={"request_id": request_id, **log_fields})
    return problem


def _kind(error: Exception) -> ProblemKind:
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return TABLE[Overloaded]
    return next(TABLE[ancestor] for ancestor in type(error).__mro__ if ancestor in TABLE)


def _problem(kind: ProblemKind, detail: str, request_id: str) -> Problem:
    return Problem(title=kind.title, status=kind.status, detail=detail, code=kind.code, request_id=request_id)


async def _respond_to_error(request: Request, error: Exception) -> JSONResponse:
    kind = _kind(error)
    if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # The server logs the traceback; this line connects it to the request.
        _log.error("internal error", extra={"request_id": request.state.request_id, "error": repr(error)})
    retry_after_seconds = kind.retry_after_seconds
    if isinstance(error, Busy | RateExceeded):
        retry_after_seconds = error.retry_after_seconds
    headers = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, UnsupportedEncoding):
        headers["Accept-Encoding"] = ", ".join(ENCODINGS)
    if isinstance(error, RequestValidationError):
        detail = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'][1:])}: {fault['msg']}"
            for fault in error.errors()[:_MAX_FAULTS]
        )
    else:
        detail = str(error) if kind.is_detail_public else kind.meaning
    return problem_response(request, kind, detail, headers)


async def _respond_to_os_error(request: Request, error: Exception) -> JSONResponse:
    kind = _kind(error)
    if kind is not TABLE[Overloaded]:
        # A fault of the service: `_respond_to_error` responds, and the server logs the traceback.
        raise error
    _log.warning("out of descriptors", extra={"request_id": request.state.request_id, "error": repr(error)})
    return problem_response(request, kind, kind.meaning, {"Retry-After": str(kind.retry_after_seconds)})


async def _respond_to_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, f"http_{error.status_code}")
    kind = ProblemKind(error.status_code, code, code.replace("_", " ").capitalize(), "")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    return problem_response(request, kind, str(error.detail), headers)


def _allowed_methods(request: Request) -> list[str]:
    """The methods of every route for the request's path; Starlette's own `Allow` lists those of the first route."""
    allowed = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    return ["HEAD", *allowed] if "GET" in allowed else allowed


async def _respond_to_disconnect(_request: Request, _error: Exception) -> Response:
    # The status code of nginx for a closed connection; it appears in the log only.
    return Response(status_code=499)
