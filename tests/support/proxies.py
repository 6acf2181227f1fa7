"""Real reverse proxies in front of a server of a test."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_START_SECONDS = 120


def free_port() -> int:
    """A port that was free a moment ago; a proxy cannot say which one it selected."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def require_program(name: str) -> str:
    """The path of a program; skips the test if it is not installed."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@contextmanager
def nginx(directory: Path, server: str, http: str = "") -> Iterator[int]:
    """Run nginx with one `server`, to which the text `listen` is added, and yield its port."""
    program, port = require_program("nginx"), free_port()
    (directory / "nginx.conf").write_text(
        f"""
daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off; client_max_body_size 0;
    client_body_temp_path {directory}/nginx-body; proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi; uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    {http}
    server {{ listen 127.0.0.1:{port}; {server} }}
}}
"""
    )
    with _running(directory, port, program, "-p", str(directory), "-c", str(directory / "nginx.conf")):
        yield port


@contextmanager
def haproxy(directory: Path, backend: str, *upstream_ports: int) -> Iterator[int]:
    """Run HAProxy in front of ports of this machine, and yield its port; `backend` are lines of its backend."""
    program, port = require_program("haproxy"), free_port()
    servers = "\n".join(f"    server at_{upstream} 127.0.0.1:{upstream}" for upstream in upstream_ports)
    (directory / "haproxy.cfg").write_text(
        f"""
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend all
    bind 127.0.0.1:{port}
    default_backend service
backend service
    {backend}
{servers}
"""
    )
    with _running(directory, port, program, "-db", "-f", str(directory / "haproxy.cfg")):
        yield port


@contextmanager
def _running(directory: Path, port: int, *command: str) -> Iterator[None]:
    log_path = directory / "proxy.log"
    with log_path.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            if not wait_until_listening(port, process):
                raise RuntimeError(f"the proxy does not listen: {log_path.read_text()}")
            yield
        finally:
            process.kill()


def wait_until_listening(port: int, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until a process listens on the port; False if it ended before."""
    for _ in range(_START_SECONDS * 20):
        if process.poll() is not None:
            return False
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
    return False
