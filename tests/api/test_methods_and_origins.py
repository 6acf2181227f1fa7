"""HEAD on each path that answers GET, and responses that pages of allowed origins can read."""

import asyncio
import re
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.types import Message

from service.app import create_app
from service.settings import Settings
from tests.api.in_process import call

ORIGIN = "https://friend.example"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The application, with an operation that fails unexpectedly."""
    app = create_app(Settings(cors_origins=(ORIGIN,)))

    @app.get("/fails")
    async def fail() -> None:
        raise RuntimeError("unexpected")

    return app


def paths_of(app: FastAPI, method: str) -> list[str]:
    """The paths of the OpenAPI document that have an operation `method`, with a value for each parameter."""
    return [re.sub(r"\{\w+\}", "1", path) for path, methods in app.openapi()["paths"].items() if method in methods]


def test_head_gets_the_status_and_headers_of_get_and_no_body_on_each_path(app: FastAPI) -> None:
    paths = [*paths_of(app, "get"), "/", "/docs", "/openapi.json", "/page/app.js", "/nowhere"]
    assert len(paths) > 20
    for path in paths:
        get, head = (call(app, method, path, headers={"X-Request-Id": "1"}) for method in ("GET", "HEAD"))
        assert head.status_code == get.status_code, path
        assert head.content == b""
        if not path.endswith("metrics"):
            assert head.headers == get.headers, path


def test_head_without_get_and_other_methods_are_refused_with_the_allowed_ones(app: FastAPI) -> None:
    assert call(app, "HEAD", "/predict").headers["allow"] == "POST, PUT"
    assert call(app, "DELETE", "/jobs").headers["allow"] == "HEAD, GET, POST, PUT"
    assert call(app, "POST", "/health/live").headers["allow"] == "HEAD, GET"
    for method, path in (("HEAD", "/predict"), ("DELETE", "/jobs"), ("POST", "/health/live")):
        assert call(app, method, path).status_code == 405


def test_head_ends_a_stream_of_events(app: FastAPI) -> None:
    async def stream() -> Any:
        while True:
            yield b": heartbeat\n\n"
            await asyncio.sleep(0.01)

    @app.get("/stream")
    async def endless() -> StreamingResponse:
        return StreamingResponse(stream())

    async def scenario() -> list[Message]:
        sent: list[Message] = []
        has_ended = asyncio.Event()

        async def receive() -> Message:
            await has_ended.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                has_ended.set()

        scope = {
            "type": "http",
            "scheme": "http",
            "method": "HEAD",
            "path": "/stream",
            "query_string": b"",
            "headers": [],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "asgi": {"spec_version": "2.3"},
        }
        async with asyncio.timeout(60):
            await app(scope, receive, send)
        return sent

    start, end = asyncio.run(scenario())
    assert (start["status"], end["body"]) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/predict/", 307),
        ("PUT", "/models", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/models?x=1", 422),
        ("POST", "/predict", 503),
        ("POST", "/v2/models/grey/infer", 503),
        ("HEAD", "/health", 503),
        ("GET", "/fails", 500),
    ],
)
def test_every_response_can_be_read_by_pages_of_allowed_origins(
    app: FastAPI, method: str, path: str, status: int
) -> None:
    response = call(app, method, path, headers={"Origin": ORIGIN})
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == ORIGIN
    exposed = response.headers["access-control-expose-headers"]
    assert {"Retry-After", "Location", "X-Request-Id", "Inference-Header-Content-Length"} <= set(exposed.split(", "))
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"]
    assert (
        "access-control-allow-origin" not in call(app, method, path, headers={"Origin": "https://foe.example"}).headers
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_a_preflight_permits_each_method_and_header_of_the_api(app: FastAPI, method: str) -> None:
    headers = {
        parameter["name"].lower()
        for operations in app.openapi()["paths"].values()
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "header"
    }
    assert "inference-header-content-length" in headers
    headers |= {"authorization", "content-type", "content-encoding", "x-request-id", "traceparent", "if-none-match"}
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": ", ".join(sorted(headers))}
    response = call(app, "OPTIONS", "/predict", headers={"Origin": ORIGIN, **asked})
    assert response.status_code == 200, response.text
    assert response.headers["access-control-allow-origin"] == ORIGIN
    refused = call(app, "OPTIONS", "/predict", headers={"Origin": "https://foe.example", **asked})
    assert "access-control-allow-origin" not in refused.headers
