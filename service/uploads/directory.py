"""The directory for uploads in progress: private to this process, removed when the process ends.

A killed process cannot remove its directory. So each process holds a file lock on its directory, which the kernel
releases when the process ends; the next process to start removes the directories without a lock.
"""

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.uploads.errors import StorageFull

_PREFIX = "framewise-uploads-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class UploadDirectory:
    """Provides a path for each upload; several services may share `parent`."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._path: Path | None = None
        self._lock: int | None = None

    def open(self) -> None:
        """Remove directories of killed processes, and create this process's own; raises OSError if that fails."""
        _remove_leftovers(self._parent)
        name = secrets.token_hex(8)
        # Locked before it gets the name by which another process would find and remove it.
        unnamed = self._parent / f".{_PREFIX}{name}"
        unnamed.mkdir(mode=0o700)
        self._lock = os.open(unnamed, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._path = unnamed.rename(self._parent / f"{_PREFIX}{name}")

    def close(self) -> None:
        """Remove the directory and its files."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
        self._path = self._lock = None

    @contextmanager
    def reserve_path(self) -> Iterator[Path]:
        """An unused path; a file written there is removed when the `with` block ends.

        Raises:
            StorageFull: the disk is full when the `with` block writes to it.
        """
        assert self._path is not None, "open the directory before the first upload"
        path = self._path / secrets.token_hex(8)
        try:
            with raising_storage_full():
                yield path
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def raising_storage_full() -> Iterator[None]:
    """Raise StorageFull if an operation in the `with` block fails because the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("The disk for uploads is full. Try again later.") from error
        raise


def _remove_leftovers(parent: Path) -> None:
    for directory in parent.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            # Removed meanwhile, or of another user, whose own services remove it.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)
        except BlockingIOError:
            # A running process uses it.
            continue
        finally:
            os.close(lock)
