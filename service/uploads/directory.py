"""The directory for uploads in progress: private to this process, removed when the process ends.

Programs that clean up may remove it, although it is locked; then it is made again.
A killed process cannot remove its directory. So each process holds a file lock on its directory, which the kernel
releases when the process ends; the next process to start removes the directories without a lock.
"""

import errno
import fcntl
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from service.uploads.errors import StorageFull, StorageUnavailable

_PREFIX = "framewise-uploads-"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


class UploadDirectory:
    """Provides a path for each upload; several services may share `parent`."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._path: Path | None = None
        self._lock: int | None = None
        self._is_closed = False
        # `open` and `reserve_path` may run in different threads.
        self._changing = threading.Lock()

    def open(self) -> None:
        """Create the directory of this process unless it is there, and write to it. Blocks.

        When it is created, directories of killed processes are removed. A full disk and a lack of file descriptors are
        no errors here: they pass, and each upload reports them.

        Raises:
            OSError: the directory cannot be created, or not be written to.
        """
        try:
            probe = self._existing() / ".probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            if error.errno not in (*_FULL, *_NO_DESCRIPTOR):
                raise

    def close(self) -> None:
        """Remove the directory and its files."""
        with self._changing:
            self._is_closed = True
            if self._path is not None:
                shutil.rmtree(self._path, ignore_errors=True)
            self._forget()

    @contextmanager
    def reserve_path(self) -> Iterator[Path]:
        """An unused path; a file written there is removed when the `with` block ends.

        Raises:
            StorageFull: the disk is full when the `with` block writes to it.
            StorageUnavailable: the directory is gone and cannot be created again.
        """
        with raising_storage_errors():
            path = self._existing() / secrets.token_hex(8)
        try:
            with raising_storage_full():
                yield path
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _existing(self) -> Path:
        """The directory, created if it is missing; raises OSError if that fails."""
        with self._changing:
            if self._is_closed:
                raise OSError(errno.ESHUTDOWN, "the service is shutting down")
            if self._path is None or not self._is_there():
                self._forget()
                self._create()
            assert self._path is not None
            return self._path

    def _is_there(self) -> bool:
        assert self._path is not None
        assert self._lock is not None
        try:
            # Something else may have its name, as after another disk was mounted there.
            return os.path.samestat(self._path.stat(), os.fstat(self._lock))
        except OSError:
            return False

    def _create(self) -> None:
        self._parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(self._parent)
        name = secrets.token_hex(8)
        # Locked before it gets the name by which another process would find and remove it.
        unnamed = self._parent / f".{_PREFIX}{name}"
        unnamed.mkdir(mode=0o700)
        self._lock = os.open(unnamed, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._path = unnamed.rename(self._parent / f"{_PREFIX}{name}")

    def _forget(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
        self._path = self._lock = None


@contextmanager
def raising_storage_full() -> Iterator[None]:
    """Raise StorageFull if an operation in the `with` block fails because the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("The disk for uploads is full. Try again later.") from error
        raise


@contextmanager
def raising_storage_errors() -> Iterator[None]:
    """Raise StorageFull or StorageUnavailable for errors of a file in the `with` block.

    A lack of file descriptors stays an OSError: the whole process lacks them, not the storage.
    """
    try:
        with raising_storage_full():
            yield
    except OSError as error:
        if error.errno in _NO_DESCRIPTOR:
            raise
        raise StorageUnavailable("The upload cannot be stored at the moment. Try again later.") from error


def removed_upload(path: Path) -> StorageUnavailable | None:
    """The error for an upload that was removed after it was stored; None if it is still there. Blocks."""
    if path.exists():
        return None
    return StorageUnavailable("The upload was removed before it was decoded. Try again later.")


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
