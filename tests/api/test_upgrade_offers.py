"""A request that offers an upgrade is answered as HTTP/1.1, whichever client or proxy sends it (RFC 9110, 7.8)."""

import asyncio
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from tests.support.protocol_server import serving
from tests.support.proxies import haproxy, nginx, require_program

pytestmark = pytest.mark.slow

BODY = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(range(256)) * 2000
SHA256 = hashlib.sha256(BODY).hexdigest()
OFFERS = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
    b"Connection: upgrade\r\nUpgrade: TLS/1.2\r\n",
    b"Connection: Upgrade\r\nUpgrade: foo, h2c\r\nUpgrade: bar\r\n",
)

JAVA = """
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;

public class Post {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        byte[] body = Files.readAllBytes(Path.of(arguments[1]));
        for (int i = 0; i < 2; i++) {
            var publisher = i == 0
                ? HttpRequest.BodyPublishers.ofByteArray(body)
                : HttpRequest.BodyPublishers.ofInputStream(() -> new java.io.ByteArrayInputStream(body));
            var request = HttpRequest.newBuilder(URI.create(arguments[0])).POST(publisher).build();
            System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
        }
    }
}
"""


async def report(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with what was received, once the whole body is there."""
    assert scope["type"] == "http"
    digest, is_complete = hashlib.sha256(), False
    while not is_complete:
        message = await receive()
        assert message["type"] == "http.request"
        digest.update(message.get("body", b""))
        is_complete = not message.get("more_body", False)
    line = json.dumps({"method": scope["method"], "path": scope["path"], "sha256": digest.hexdigest()}).encode() + b"\n"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(line))]})
    await send({"type": "http.response.body", "body": line})


def with_server(use: Callable[[int], Any]) -> Any:
    """The result of `use`, which runs in a thread and gets the port of a server that reports."""

    async def scenario() -> Any:
        async with serving(report) as port:
            return await asyncio.to_thread(use, port)

    return uvloop.run(scenario())


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("framing", ["content-length", "chunked"])
@pytest.mark.parametrize("packets", ["one", "several"])
def test_each_of_several_requests_on_one_connection_has_its_body(offer: bytes, framing: str, packets: str) -> None:
    head, body = b"POST /p HTTP/1.1\r\nHost: x\r\n" + offer, BODY
    if framing == "chunked":
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    else:
        head += b"Content-Length: %d\r\n\r\n" % len(BODY)

    async def scenario() -> list[dict[str, str]]:
        async with serving(report) as port, asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            responses: list[dict[str, str]] = []

            async def read_response() -> None:
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
                await reader.readuntil(b"\r\n\r\n")
                responses.append(json.loads(await reader.readline()))

            if packets == "one":
                writer.write((head + body) * 3)
                for _ in range(3):
                    await read_response()
            else:
                for _ in range(3):
                    writer.write(head)
                    await writer.drain()
                    await asyncio.sleep(0.01)
                    writer.write(body)
                    await read_response()
            writer.write(b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await read_response()
            assert await reader.read() == b""
            writer.close()
            return responses

    *posted, last = uvloop.run(scenario())
    assert posted == [{"method": "POST", "path": "/p", "sha256": SHA256}] * 3
    assert last["path"] == "/last"


def test_curl_may_offer_http_2(tmp_path: Path) -> None:
    curl = require_program("curl")
    (tmp_path / "body").write_bytes(BODY)

    def post(port: int) -> str:
        sent = ["--data-binary", f"@{tmp_path}/body"]
        command = [curl, "--silent", "--max-time", "60", "--http2", *sent, f"http://127.0.0.1:{port}/p"]
        # The second transfer uses the connection of the first.
        command += ["--next", "--http2", "--silent", *sent, "-H", "Transfer-Encoding: chunked", command[-1]]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert [json.loads(line)["sha256"] for line in with_server(post).splitlines()] == [SHA256] * 2


def test_java_may_post_with_its_default_client(tmp_path: Path) -> None:
    java = require_program("java")
    require_program("javac")
    (tmp_path / "Post.java").write_text(JAVA)
    (tmp_path / "body").write_bytes(BODY)

    def post(port: int) -> str:
        command = [
            java,
            "-XX:TieredStopAtLevel=1",
            str(tmp_path / "Post.java"),
            f"http://127.0.0.1:{port}/p",
            str(tmp_path / "body"),
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout

    lines = filter(None, with_server(post).splitlines())
    assert [json.loads(line)["sha256"] for line in lines] == [SHA256] * 2


def test_nginx_may_pass_an_upgrade_on(tmp_path: Path) -> None:
    """The snippet for WebSockets, which many configurations contain for every location."""

    def post(port: int) -> str:
        http = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }"
        server = f"""location / {{
            proxy_pass http://127.0.0.1:{port}; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
        }}"""
        with nginx(tmp_path, server, http) as proxy_port:
            return _posted_by_curl(tmp_path, proxy_port)

    assert json.loads(with_server(post))["sha256"] == SHA256


def test_haproxy_may_pass_an_upgrade_on(tmp_path: Path) -> None:
    def post(port: int) -> str:
        with haproxy(tmp_path, "http-reuse always", port) as proxy_port:
            return _posted_by_curl(tmp_path, proxy_port)

    assert json.loads(with_server(post))["sha256"] == SHA256


def _posted_by_curl(directory: Path, port: int) -> str:
    (directory / "body").write_bytes(BODY)
    command = [
        require_program("curl"),
        "--silent",
        "--max-time",
        "60",
        "-H",
        "Connection: Upgrade",
        "-H",
        "Upgrade: foo",
    ]
    command += ["--data-binary", f"@{directory}/body", f"http://127.0.0.1:{port}/p"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
