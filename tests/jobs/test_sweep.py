"""The sweep of uploads that have no job."""

import os
import time
from pathlib import Path

from sqlalchemy import update

from service.jobs.persistence.database import Database
from service.jobs.persistence.tables import JOBS
from service.jobs.sweep import Sweeper
from service.jobs.uploads import JobUploads
from tests.jobs.stored_jobs import submitted, with_database

HOUR = 3600.0


def write_upload(uploads: JobUploads, job_id: str, age_seconds: float) -> Path:
    """The upload of a job, last written that long ago."""
    path = uploads.path(job_id)
    path.write_bytes(b"video")
    written_at = time.time() - age_seconds
    os.utime(path, (written_at, written_at))
    return path


def test_the_upload_of_an_ended_job_is_removed_at_once(tmp_path: Path) -> None:
    """Regression: a process that was killed after it had stored a result left the upload for a day."""
    uploads = JobUploads(tmp_path / "uploads")
    uploads.open()

    async def scenario(database: Database) -> None:
        (ended_id, _), (queued_id, _) = await submitted(database), await submitted(database)
        ended, queued = write_upload(uploads, ended_id, 1), write_upload(uploads, queued_id, 1)
        await database.write(
            lambda connection: connection.execute(update(JOBS).where(JOBS.c.id == ended_id).values(state="done"))
        )
        await Sweeper(database, uploads, max_upload_seconds=1).sweep_if_due()
        assert (ended.exists(), queued.exists()) == (False, True)

    with_database(f"sqlite:///{tmp_path}/jobs.db", tmp_path, scenario)


def test_only_old_uploads_without_a_job_are_removed(tmp_path: Path) -> None:
    uploads = JobUploads(tmp_path / "uploads")
    uploads.open()

    async def scenario(database: Database) -> None:
        queued = write_upload(uploads, (await submitted(database))[0], 48 * HOUR)
        # The database may be a wrong one, or a backup that is being restored.
        recent = write_upload(uploads, "1" * 32, 2 * HOUR)
        orphan = write_upload(uploads, "2" * 32, 48 * HOUR)
        with uploads.create("3" * 32) as arriving:
            # The clock of the machine was set forward during the upload.
            write_upload(uploads, "3" * 32, 48 * HOUR)
            await Sweeper(database, uploads, max_upload_seconds=1).sweep_if_due()
            assert arriving.path.exists()
            arriving.is_kept = True
        assert (queued.exists(), recent.exists(), orphan.exists()) == (True, True, False)

    with_database(f"sqlite:///{tmp_path}/jobs.db", tmp_path, scenario)
