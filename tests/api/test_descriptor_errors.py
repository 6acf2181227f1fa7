"""A request that finds no free descriptor is refused as overload, not as a fault of the service."""

import asyncio
import errno
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.settings import Settings


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [(errno.EMFILE, 503, "overloaded"), (errno.ENFILE, 503, "overloaded"), (errno.EIO, 500, "internal")],
)
def test_an_error_of_the_system_gets_its_problem(tmp_path: Path, number: int, status: int, code: str) -> None:
    app = create_app(Settings(models_dir=tmp_path, upload_dir=tmp_path))

    async def fail() -> None:
        raise OSError(number, "told by the system")

    app.add_api_route("/fail", fail)

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/fail")

    response = asyncio.run(get())
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert (status == 503) == ("retry-after" in response.headers)
