"""Faults of the directories for uploads and for jobs, and of the disk that holds them."""

import errno
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.chaos.plan import PlannedEvent, chosen
from tests.chaos.site import Cause, Site

_CHUNK = bytes(1 << 16)


@contextmanager
def _uploads_swept(site: Site, event: PlannedEvent) -> Iterator[None]:
    """Remove the directory of the process, or the one that the operator configured with it."""
    swept = chosen((list(site.upload_dir.iterdir()), [site.upload_dir]), event)
    for directory in swept:
        shutil.rmtree(directory, ignore_errors=True)
    yield


@contextmanager
def _jobs_directory_away(site: Site, event: PlannedEvent) -> Iterator[None]:
    """Take the directory away as a lost mount does, and bring it back with its content."""
    away = site.jobs_dir.with_name("jobs-away")
    site.jobs_dir.rename(away)
    try:
        threading.Event().wait(event.hold_seconds)
        yield
    finally:
        _bring_back(away, site.jobs_dir)


@contextmanager
def _read_only(site: Site, event: PlannedEvent) -> Iterator[None]:
    directories = [site.upload_dir, *site.upload_dir.iterdir(), site.jobs_dir, site.jobs_dir / "uploads"]
    modes = {directory: directory.stat().st_mode for directory in directories}
    for directory in directories:
        directory.chmod(0o555)
    try:
        threading.Event().wait(event.hold_seconds)
        yield
    finally:
        for directory, mode in modes.items():
            with suppress(FileNotFoundError):
                # A service that was ended meanwhile has removed its own.
                directory.chmod(mode)


@contextmanager
def _full(site: Site, event: PlannedEvent) -> Iterator[None]:
    ballast = site.upload_dir.with_name("ballast")
    _fill(ballast)
    try:
        threading.Event().wait(event.hold_seconds)
        yield
    finally:
        ballast.unlink()


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(_CHUNK)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def _bring_back(away: Path, directory: Path) -> None:
    """Restore a directory; files that the service has put into a new one meanwhile are kept."""
    if directory.exists():
        for path in directory.rglob("*"):
            target = away / path.relative_to(directory)
            if path.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
        shutil.rmtree(directory)
    away.rename(directory)


def _needs_database_elsewhere(site: Site) -> str | None:
    # The service makes both again, and what it then accepts is not in the directory that comes back.
    return "SQLite's database lies in the jobs directory" if site.postgres is None else None


def _needs_bounded_disk(site: Site) -> str | None:
    return None if site.is_disk_bounded else "mounting a small file system needs root"


CAUSES = (
    Cause("upload directory removed", _uploads_swept),
    Cause("jobs directory away", _jobs_directory_away, _needs_database_elsewhere),
    Cause("directories read-only", _read_only),
    Cause("disk full", _full, _needs_bounded_disk),
)
