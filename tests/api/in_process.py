"""Calls the application in the process of the test, without a server and without starting its parts."""

import asyncio
from typing import Any

import httpx
from fastapi import FastAPI

from service.api.path_prefix import ForwardedHeaders


def call(app: FastAPI, method: str, path: str, *, trusted_proxy: str | None = None, **arguments: Any) -> httpx.Response:
    """The response to a request from 127.0.0.1; `trusted_proxy` is the address of the one proxy that is trusted."""
    served: Any = app if trusted_proxy is None else ForwardedHeaders(app, trusted_proxy)  # type: ignore[arg-type]

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(served, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service.example") as client:
            return await client.request(method, path, **arguments)

    return asyncio.run(request())
