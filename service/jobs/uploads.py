"""The uploaded videos of jobs on disk, named by job id, until their jobs have ended."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.uploads.directory import raising_storage_errors, raising_storage_full


@dataclass(slots=True)
class NewUpload:
    """An upload that is being received; it is removed at the end of the context unless `is_kept`."""

    path: Path
    is_kept: bool = False


class JobUploads:
    """The directory of uploads. Several processes can share it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._arriving: set[str] = set()

    def open(self) -> None:
        """Create the directory and its parent if necessary. Raises OSError if the directory is not writable."""
        for directory in (self._directory.parent, self._directory):
            directory.mkdir(mode=0o700, exist_ok=True)
        probe = self._directory / f".{os.getpid()}"
        probe.touch()
        probe.unlink()

    @contextmanager
    def create(self, job_id: str) -> Iterator[NewUpload]:
        """The path for the upload of a new job.

        Raises:
            StorageFull: the disk is full while the context writes to the path.
            StorageUnavailable: the directory is gone and cannot be created again.
        """
        with raising_storage_errors():
            # A program that cleans up may have removed it.
            self._directory.mkdir(mode=0o700, exist_ok=True)
        upload = NewUpload(self.path(job_id))
        self._arriving.add(job_id)
        try:
            with raising_storage_full():
                yield upload
        finally:
            self._arriving.discard(job_id)
            if not upload.is_kept:
                self.remove(job_id)

    def path(self, job_id: str) -> Path:
        """The path of a job's upload."""
        return self._directory / job_id

    def fsync(self, path: Path) -> None:
        """Flush the file and its directory entry to disk. Blocks. Raises StorageFull or StorageUnavailable."""
        with raising_storage_errors():
            for flushed in (path, self._directory):
                descriptor = os.open(flushed, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def remove(self, job_id: str) -> None:
        """Remove the upload of a job if it exists."""
        self.path(job_id).unlink(missing_ok=True)

    def ages_seconds(self) -> dict[str, float]:
        """By job id, how long ago its upload was last written. Blocks.

        Uploads that this process is receiving are left out: the clock of the machine may have jumped.
        """
        arriving = set(self._arriving)
        now = time.time()
        ages = {}
        for entry in os.scandir(self._directory):
            try:
                if entry.name not in arriving:
                    ages[entry.name] = now - entry.stat().st_mtime
            except FileNotFoundError:
                # Another process removed the file meanwhile.
                continue
        return ages
