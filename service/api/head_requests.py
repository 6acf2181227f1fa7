"""Answers HEAD on every path that answers GET, with the same status and headers and no body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadRequests:
    """Middleware that passes HEAD on as GET, and ends the response after its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                # The end of the response also ends a stream of events: for it, the client has left.
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        # The log shows the method of the client.
        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, send_headers)
        finally:
            if "route" in as_get:
                scope["route"] = as_get["route"]
