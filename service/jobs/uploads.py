"""The videos of jobs on disk, each under its job's id, until the job has ended."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.uploads.directory import raising_storage_full


@dataclass(slots=True)
class Place:
    """Where an upload goes; it is removed with the context unless it `is_kept`."""

    path: Path
    is_kept: bool = False


class JobUploads:
    """A directory that several processes may share."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self) -> None:
        """Make the directory and its parent where they are not there; raises OSError where it cannot be written to."""
        for directory in (self._directory.parent, self._directory):
            directory.mkdir(mode=0o700, exist_ok=True)
        probe = self._directory / f".{os.getpid()}"
        probe.touch()
        probe.unlink()

    @contextmanager
    def place(self, job_id: str) -> Iterator[Place]:
        """A place for the upload of a job to be.

        Raises:
            StorageFull: the disk is full when the context writes to it.
        """
        place = Place(self.path(job_id))
        try:
            with raising_storage_full():
                yield place
        finally:
            if not place.is_kept:
                self.remove(job_id)

    def path(self, job_id: str) -> Path:
        """Where the upload of a job lies."""
        return self._directory / job_id

    def make_last(self, path: Path) -> None:
        """Return when the file and its name would survive the machine's end. Blocks."""
        for what in (path, self._directory):
            descriptor = os.open(what, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self, job_id: str) -> None:
        """Remove the upload of a job, if there is one."""
        self.path(job_id).unlink(missing_ok=True)

    def older_than(self, seconds: float) -> list[str]:
        """The ids of the jobs whose uploads were last written to before that: none of them is still arriving."""
        before = time.time() - seconds
        found = []
        for entry in os.scandir(self._directory):
            try:
                if entry.stat().st_mtime < before:
                    found.append(entry.name)
            except FileNotFoundError:
                # Removed by another process in between.
                continue
        return found
