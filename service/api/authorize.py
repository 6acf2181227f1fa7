"""Checks the API key of a request, if keys are configured, and names its caller."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.access_log import note
from service.egress.addresses import embedded_ipv4
from service.keys.errors import Forbidden
from service.keys.key_file import Scope
from service.state import AppState

_MAX_NAME_LENGTH = 64
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
    request.state.caller = caller_at(_host(request)) if key is None else f"key {key.id}"
    if key is not None:
        note(request, key=key.id)


def caller_at(host: str) -> str:
    """Return the caller that requests from the address `host` count for; "unknown" if `host` is no address.

    A caller is an IPv4 address, also where an IPv6 address contains it, or an IPv6 /64 network, because one subscriber
    has a whole /64. Hosts on the same link share fe80::/64, so each link-local address is a caller of its own.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.is_link_local:
        # A proxy may state a zone of any length.
        return str(address)[:_MAX_NAME_LENGTH]
    # The zone (`%eth0`) has a meaning for link-local addresses only.
    address = IPv6Address(address.packed)
    return str(embedded_ipv4(address) or ip_network((address, 64), strict=False))


def _host(request: Request) -> str:
    return "" if request.client is None else request.client.host
