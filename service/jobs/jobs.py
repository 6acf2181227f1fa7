"""The jobs as the HTTP routes use them: submit, get, list, cancel, listen."""

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection

from framewise.schemas.jobs import JobList, JobListQuery
from service.inference.repository import ModelRepository
from service.jobs.delivery.webhooks import Webhooks
from service.jobs.events import Event, events_after
from service.jobs.leases import ENDED, cancel_job
from service.jobs.listeners import Listeners
from service.jobs.persistence.database import Database, require_write_access
from service.jobs.persistence.storage import JobStorage
from service.jobs.queries import Viewer, find_job, job_json, list_jobs, remove_ended_job, require_job_id
from service.jobs.quotas import UploadsInProgress
from service.jobs.runner import Runner
from service.jobs.settings import JobSettings
from service.jobs.submissions import JobRequest, new_job_id, require_capacity, submit_job
from service.jobs.uploads import JobUploads
from service.prediction.admission import Admission
from service.uploads.receiver import Upload, UploadReceiver


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A submitted job; not `is_new` if a repeated request returned an existing job."""

    job_id: str
    json: str
    is_new: bool


class Jobs:
    """All operations on jobs. Built once, by `service.app`."""

    def __init__(
        self,
        *,
        storage: JobStorage,
        database: Database,
        uploads: JobUploads,
        listeners: Listeners,
        webhooks: Webhooks,
        runner: Runner,
        admission: Admission,
        models: ModelRepository,
        receiver: UploadReceiver,
        settings: JobSettings,
    ) -> None:
        self._storage = storage
        self._database = database
        self._uploads = uploads
        self._webhooks = webhooks
        self._admission = admission
        self._models = models
        self._receiver = receiver
        self._settings = settings
        self._uploads_in_progress = UploadsInProgress()
        self._opening: asyncio.Task[None] | None = None
        self.listeners = listeners
        self.runner = runner

    async def open(self) -> None:
        """Open the directory and the database; an error is reported, and `start` tries again.

        Returns at the latest when a request would no longer wait for the database: a migration may take longer.
        """
        self._opening = asyncio.create_task(self._open())
        done, _ = await asyncio.wait({self._opening}, timeout=self._settings.database_timeout_seconds)
        if not done:
            self._storage.report_opening()

    def start(self) -> None:
        """Start to run jobs, also before the storage is open; ready models are required."""
        self.runner.start()

    def drain(self) -> None:
        """Claim no more jobs, requeue the running jobs, and end all event streams."""
        self.runner.drain()
        self.listeners.close()

    async def close(self) -> None:
        """Drain, and close the connections."""
        self.drain()
        await self.runner.close()
        await self._webhooks.close()
        await self._database.close()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})

    async def submit(self, upload: Upload, request: JobRequest) -> SubmittedJob:
        """Receive a video and store it as a job. The job survives a crash after this call returns.

        Raises the errors of `Admission.admit`, `ModelRepository.get`, `Webhooks.require_allowed`,
        `UploadReceiver.receive` and `submit_job`.
        """
        with self._admission.admit(upload.caller, is_background=True):
            self._models.get(request.query.model, request.query.version)
            if request.query.callback_url is not None:
                self._webhooks.require_allowed(request.query.callback_url)
            num_bytes = self._receiver.max_bytes(upload)
            with self._uploads_in_progress.counted(request.owner, num_bytes) as arriving:
                await self._database.read(
                    lambda connection: require_capacity(connection, request, num_bytes, self._settings, arriving)
                )
                return await self._receive(upload, request)

    async def get(self, job_id: str, viewer: Viewer) -> str:
        """The job as JSON; raises UnknownJob."""
        return await self._database.read(lambda connection: job_json(connection, find_job(connection, job_id, viewer)))

    async def list_jobs(self, query: JobListQuery, viewer: Viewer) -> JobList:
        """A page of the jobs that `viewer` may see, latest first. Raises UnknownJob if `query.after` is no id."""
        if query.after is not None:
            require_job_id(query.after)
        return await self._database.read(lambda connection: list_jobs(connection, query, viewer))

    async def cancel_or_remove(self, job_id: str, viewer: Viewer) -> str | None:
        """Cancel a job and return it as JSON; remove a job that has ended and return None.

        Returns after this process has stopped to work on the job.

        Raises:
            UnknownJob: the job does not exist.
        """

        def cancel_or_remove(connection: Connection) -> str | None:
            find_job(connection, job_id, viewer)
            if not cancel_job(connection, job_id, self._settings.job_retention_seconds):
                remove_ended_job(connection, job_id)
                return None
            return job_json(connection, find_job(connection, job_id, viewer))

        json = await self._database.write(cancel_or_remove)
        await self.runner.stop_job(job_id)
        self._uploads.remove(job_id)
        self.listeners.signal(job_id)
        return json

    async def events_after(
        self, job_id: str, viewer: Viewer, last_event_id: str | None
    ) -> tuple[list[tuple[Event, str]], bool]:
        """The events after `last_event_id`, each with its data as JSON, and whether the job has ended.

        Raises:
            UnknownJob: the job does not exist.
        """

        def read(connection: Connection) -> tuple[list[tuple[Event, str]], bool]:
            row = find_job(connection, job_id, viewer)
            events = [
                (event, job_json(connection, row) if event.data is None else event.data.model_dump_json())
                for event in events_after(row, last_event_id)
            ]
            return events, row.state in ENDED

        return await self._database.read(read)

    def listen(self, job_id: str, caller: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set when the job may have changed; see `Listeners.listen`."""
        return self.listeners.listen(job_id, caller)

    async def _open(self) -> None:
        try:
            await self._storage.open()
        except Exception as error:  # noqa: BLE001 - reported; the runner tries again
            self._storage.report(error)
        else:
            self._storage.report_success()

    async def _receive(self, upload: Upload, request: JobRequest) -> SubmittedJob:
        job_id = new_job_id()
        with self._uploads.create(job_id) as new_upload:
            video = await self._receiver.receive(upload, new_upload.path)
            await asyncio.to_thread(self._uploads.fsync, new_upload.path)

            def insert(connection: Connection) -> SubmittedJob:
                # A job that could be stored, but not run, is refused.
                require_write_access(connection)
                row, is_new = submit_job(connection, job_id, request, video, self._settings)
                # Set before the commit, whose result may be unknown: the sweep removes an upload without a job, but
                # a job without its upload would be lost.
                new_upload.is_kept = is_new
                return SubmittedJob(row.id, job_json(connection, row), is_new)

            submitted = await self._database.write(insert)
        self.runner.wake()
        return submitted
