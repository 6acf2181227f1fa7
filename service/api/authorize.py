"""Checks the API key of a request, if keys are configured."""

from ipaddress import ip_address, ip_network
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.access_log import note
from service.keys.errors import Forbidden
from service.keys.key_file import Scope
from service.state import AppState

_IPV4 = 4
_bearer = HTTPBearer(auto_error=False, description="Required only if the service has API keys.")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def require_predict_scope(request: Request, credentials: _Credentials) -> None:
    """Require a key with the scope `predict`, if keys are configured."""
    _require_scope(request, credentials, "predict")


async def require_admin_scope(request: Request, credentials: _Credentials) -> None:
    """Require a key with the scope `admin`, if keys are configured."""
    _require_scope(request, credentials, "admin")


async def require_model_control(request: Request, credentials: _Credentials) -> None:
    """Require a key with the scope `admin`, or SERVICE_MODEL_CONTROL if no keys are configured."""
    state = AppState.of(request)
    if state.settings.api_keys_file is None and not state.settings.model_control:
        raise Forbidden("Models cannot be loaded over HTTP: set SERVICE_MODEL_CONTROL or configure API keys.")
    _require_scope(request, credentials, "admin")


def _require_scope(request: Request, credentials: HTTPAuthorizationCredentials | None, scope: Scope) -> None:
    key = AppState.of(request).keys.authorize(None if credentials is None else credentials.credentials, scope)
    request.state.key = key
    request.state.caller = _address(request) if key is None else f"key {key.id}"
    if key is not None:
        note(request, key=key.id)


def _address(request: Request) -> str:
    """Return the client's IPv4 address or IPv6 /64 network; one IPv6 subscriber has a whole /64 of addresses."""
    try:
        address = ip_address("" if request.client is None else request.client.host)
    except ValueError:
        return "unknown"
    return str(address if address.version == _IPV4 else ip_network((address, 64), strict=False))
