"""Builds the site of a run: directories on a disk of their own, a database whose clock can be set, the service."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from tests.chaos.causes_of_clock import NO_OFFSET
from tests.chaos.chaos import DEADLINE_SECONDS, KEYS, Chaos
from tests.chaos.site import DATABASE_ROLE, Site
from tests.chaos.supervised_service import supervised_service
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.running_service import service_environment
from tests.support.traffic.footage import make_footage
from tests.support.traffic.keys import create_keys
from tests.support.webhook_receiver import running_receiver

_DISK_BYTES = 64 << 20
# Root may write into directories without the permission, so the service runs as root without that capability.
_WITHOUT_OVERRIDE = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--")
_SETTINGS: dict[str, Any] = {
    "decode_children": 3,
    "deadline_seconds": DEADLINE_SECONDS,
    "upload_idle_timeout_seconds": 5,
    "answer_cache_bytes": 1 << 20,
    "job_beat_seconds": 0.2,
    "job_lease_seconds": 5,
    # A job that happens to run in many events must not be given up: each kill costs an attempt.
    "job_max_attempts": 50,
    "drain_seconds": 10,
    "webhook_private_addresses": True,
    "webhook_secret": "a secret of thirty-two characters",
    "webhook_backoff_seconds": 0.5,
}


@contextmanager
def chaos_stage(
    models_dir: Path, directory: Path, seed: int, *, is_postgres: bool, log_path: Path | None = None
) -> Iterator[Chaos]:
    """A run that is ready to begin, with everything that it needs below `directory`."""
    footage = make_footage(directory / "videos", long_seconds=1)
    tokens = create_keys(directory / "keys.json", KEYS)
    with ExitStack() as stack:
        disk, is_bounded = stack.enter_context(_disk(directory / "disk"))
        (disk / "incoming").mkdir()
        postgres, clock_file = stack.enter_context(_postgres()) if is_postgres else (None, None)
        receiver = stack.enter_context(running_receiver(204))
        settings = _SETTINGS | {
            "api_keys_file": directory / "keys.json",
            "jobs_dir": disk / "jobs",
            "webhook_allowed_hosts": receiver.host,
        }
        if postgres is not None:
            url = make_url(postgres.url).set(username=DATABASE_ROLE)
            settings["database_url"] = url.render_as_string(hide_password=False)
        service = stack.enter_context(
            supervised_service(
                service_environment(models_dir, disk / "incoming", settings),
                _command_prefix(),
                log_path or directory / "log",
            )
        )
        site = Site(service, disk / "incoming", disk / "jobs", postgres, is_bounded, clock_file)
        yield Chaos(site, tokens, footage, receiver, seed)


@contextmanager
def _disk(path: Path) -> Iterator[tuple[Path, bool]]:
    """A directory, and whether it is a small file system of its own, which takes root to mount."""
    path.mkdir()
    mount: tuple[str, ...] = ("mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "chaos", str(path))
    is_mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield path, is_mounted
    finally:
        if is_mounted:
            # Detached: a process that ends late may still use it.
            subprocess.run(("umount", "--lazy", str(path)), check=True)  # noqa: S607


@contextmanager
def _postgres() -> Iterator[tuple[PostgresServer, Path | None]]:
    """A server, and the file that sets its clock; None without libfaketime."""
    with postgres_server() as server:
        # The service, which is not root in this respect, must reach the socket.
        server.directory.chmod(0o755)
        clock_file = None
        if (library := _libfaketime()) is not None:
            clock_file = server.directory / "clock"
            clock_file.write_text(NO_OFFSET + "\n")
            server.stop()
            server.variables.update(_faked_clock(library, clock_file))
            server.start()
        server.execute(f"CREATE ROLE {DATABASE_ROLE} LOGIN", f"GRANT CREATE ON SCHEMA public TO {DATABASE_ROLE}")
        yield server, clock_file


def _command_prefix() -> tuple[str, ...]:
    return _WITHOUT_OVERRIDE if os.geteuid() == 0 and shutil.which(_WITHOUT_OVERRIDE[0]) else ()


def _libfaketime() -> Path | None:
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def _faked_clock(library: Path, clock_file: Path) -> Mapping[str, str]:
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock_file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
