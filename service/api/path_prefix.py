"""Serves the application under a path prefix, such as `/video` behind a proxy that serves other applications too.

A proxy may remove the prefix from the path of a request or leave it in place. The addresses that the service writes do
not depend on that, nor on the Host header, which any client can choose: they are paths with the prefix, or relative.
"""

from typing import Any
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.setting_types import is_path_prefix

_HEADER = b"x-forwarded-prefix"
_REDIRECTS = (301, 302, 303, 307, 308)


def route_path(scope: Scope) -> str:
    """The path of a request without the prefix."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class PathPrefixes:
    """Middleware that completes the path of a request with the prefix, and makes redirects relative.

    The prefix is the one that the server states for the request (ASGI's `root_path`), else the configured one.
    """

    def __init__(self, app: ASGIApp, configured: str) -> None:
        self._app = app
        self._configured = configured

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        prefix = scope.get("root_path", "").rstrip("/") or self._configured
        path: str = scope["path"]
        scope["root_path"] = prefix
        if path != prefix and not path.startswith(f"{prefix}/"):
            scope["path"] = prefix + path
            scope["raw_path"] = prefix.encode() + scope.get("raw_path", quote(path).encode())

        async def send_relative(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in _REDIRECTS:
                MutableHeaders(scope=message)["Location"] = _without_or_with_slash(scope)
            await send(message)

        await self._app(scope, receive, send_relative)


class ForwardedHeaders(ProxyHeadersMiddleware):
    """Uvicorn's handling of `X-Forwarded-For` and `X-Forwarded-Proto`, and the same for `X-Forwarded-Prefix`."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI connection; its headers count only if they come from a trusted proxy."""
        # Uvicorn replaces the proxy's address by the client's.
        peer = scope.get("client")
        if scope["type"] == "http" and peer and peer[0] in self.trusted_hosts:
            prefix = _forwarded_prefix(scope)
            if prefix is not None:
                scope["root_path"] = prefix
        await super().__call__(scope, receive, send)


def _forwarded_prefix(scope: Scope) -> str | None:
    """The prefixes that proxies removed, the outermost first; None if there is no header or it is no prefix."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == _HEADER]
    prefix = "".join(part.strip().rstrip("/") for value in values for part in value.split(","))
    return prefix if is_path_prefix(prefix) else None


def _without_or_with_slash(scope: Scope) -> str:
    """The target of a redirect: the router redirects only to add a slash or to remove slashes."""
    path, query = scope["path"], scope.get("query_string", b"").decode("latin-1")
    without = path.rstrip("/")
    last = quote(without.rpartition("/")[2])
    match len(path) - len(without):
        case 0:
            target = f"./{last}/"
        case 1:
            # Relative to the request, so that it is right even if a proxy removed a prefix without saying so.
            target = f"../{last}"
        case _:
            # Clients differ in how they resolve a path against empty parts.
            target = quote(without)
    return f"{target}?{query}" if query else target
