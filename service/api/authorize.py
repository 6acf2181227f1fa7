"""Which key a route asks for, where keys are configured."""

from ipaddress import ip_address, ip_network
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.access_log import note
from service.keys.errors import Forbidden
from service.keys.key_file import Scope
from service.state import AppState

_IPV4 = 4
_bearer = HTTPBearer(auto_error=False, description="Asked for only where the service has API keys.")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def may_predict(request: Request, credentials: _Credentials) -> None:
    """Let pass who has a key of the scope `predict`, or anybody where there are no keys."""
    _admit(request, credentials, "predict")


async def may_administer(request: Request, credentials: _Credentials) -> None:
    """Let pass who has a key of the scope `admin`, or anybody where there are no keys."""
    _admit(request, credentials, "admin")


async def may_change_models(request: Request, credentials: _Credentials) -> None:
    """Let pass who has a key of the scope `admin`; without keys, anybody where the settings say so, else nobody."""
    state = AppState.of(request)
    if state.settings.api_keys_file is None and not state.settings.model_control:
        raise Forbidden("Models are loaded and unloaded over HTTP where API keys or SERVICE_MODEL_CONTROL are set.")
    _admit(request, credentials, "admin")


def _admit(request: Request, credentials: HTTPAuthorizationCredentials | None, scope: Scope) -> None:
    key = AppState.of(request).keys.authorize(None if credentials is None else credentials.credentials, scope)
    request.state.key = key
    request.state.caller = _address(request) if key is None else f"key {key.id}"
    if key is not None:
        note(request, key=key.id)


def _address(request: Request) -> str:
    """The client's address; of IPv6 the network of one subscriber, who has as many addresses as anybody could want."""
    try:
        address = ip_address("" if request.client is None else request.client.host)
    except ValueError:
        return "unknown"
    return str(address if address.version == _IPV4 else ip_network((address, 64), strict=False))
