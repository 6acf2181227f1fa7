"""Where uploads lie while they are worked on: a directory of this process alone, gone with it.

A process that is killed cannot tidy up. Each holds a lock on its directory, which the system lets go
however the process ends; whoever starts next removes the directories that nobody holds.
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
    """Makes a file's place for each upload; several services may share `parent`."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._path: Path | None = None
        self._lock: int | None = None

    def open(self) -> None:
        """Remove what killed processes left behind, and make this process's own; raises OSError where it cannot."""
        _remove_left_behind(self._parent)
        name = secrets.token_hex(8)
        # Locked before it has the name by which others look for what is left behind.
        unnamed = self._parent / f".{_PREFIX}{name}"
        unnamed.mkdir(mode=0o700)
        self._lock = os.open(unnamed, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._path = unnamed.rename(self._parent / f"{_PREFIX}{name}")

    def close(self) -> None:
        """Remove it with all that lies in it."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
        self._path = self._lock = None

    @contextmanager
    def place(self) -> Iterator[Path]:
        """A path at which there is no file yet, and none any more once the context is left.

        Raises:
            StorageFull: the disk is full, now or when the context writes to it.
        """
        assert self._path is not None, "opened before the first upload"
        path = self._path / secrets.token_hex(8)
        try:
            with telling_if_full():
                yield path
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def telling_if_full() -> Iterator[None]:
    """Raise StorageFull where the context finds the disk full."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("There is no room for the upload at the moment.") from error
        raise


def _remove_left_behind(parent: Path) -> None:
    for directory in parent.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            # Gone meanwhile, or another user's, who will see to it.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)
        except BlockingIOError:
            # Somebody works in it.
            continue
        finally:
            os.close(lock)
