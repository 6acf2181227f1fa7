"""Jobs as the routes see them: submitted, looked at, listened to, ended."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection

from framewise.schemas.jobs import JobList, JobListQuery
from service.inference.repository import ModelRepository
from service.jobs.database import Database
from service.jobs.events import Event, missed_events
from service.jobs.leases import ENDED, cancel
from service.jobs.listeners import Listeners
from service.jobs.queries import Viewer, find_job, job_json, list_jobs, remove_ended
from service.jobs.runner import Runner
from service.jobs.settings import JobSettings
from service.jobs.submissions import Request, new_job_id, require_room, submit
from service.jobs.uploads import JobUploads
from service.jobs.webhooks import Webhooks
from service.prediction.admission import Admission
from service.uploads.receiver import Upload, UploadReceiver


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job as it is answered to whoever asked for it; not `is_new` where the same had been asked for before."""

    job_id: str
    json: str
    is_new: bool


class Jobs:
    """Everything about jobs that a request may ask for. Built once, in `service.app`."""

    def __init__(
        self,
        *,
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
        self._database = database
        self._uploads = uploads
        self._webhooks = webhooks
        self._admission = admission
        self._models = models
        self._receiver = receiver
        self._settings = settings
        self._num_bytes_arriving = 0
        self.listeners = listeners
        self.runner = runner

    async def open(self, failed: Callable[[], None]) -> None:
        """Begin to run what is there; raises OSError where directory or database cannot be used.

        `failed` is called should no job be run any more.
        """
        await asyncio.to_thread(self._uploads.open)
        await self._database.open()
        self.runner.start(failed)

    def drain(self) -> None:
        """Take no job up any more, give back those that are being run, and end every stream of events."""
        self.runner.drain()
        self.listeners.close()

    async def close(self) -> None:
        """Drain, and let go of everything."""
        self.drain()
        await self.runner.close()
        await self._webhooks.close()
        await self._database.close()

    async def submit(self, upload: Upload, request: Request) -> Submitted:
        """Receive a video and make a job of it, which survives whatever happens from then on.

        Raises what `Classifier.predict` raises before it looks at the video, and what `submit` does.
        """
        with self._admission.admit(upload.caller, is_background=True):
            self._models.get(request.query.model, request.query.version)
            if request.query.callback_url is not None:
                self._webhooks.require_allowed(request.query.callback_url)
            num_bytes = self._receiver.max_bytes(upload)
            await self._require_room(request, num_bytes)
            self._num_bytes_arriving += num_bytes
            try:
                return await self._receive(upload, request)
            finally:
                self._num_bytes_arriving -= num_bytes

    async def get(self, job_id: str, viewer: Viewer) -> str:
        """The job as JSON; raises UnknownJob."""
        return await self._database.read(lambda connection: job_json(connection, find_job(connection, job_id, viewer)))

    async def page(self, query: JobListQuery, viewer: Viewer) -> JobList:
        """The jobs that `viewer` may see, latest first."""
        return await self._database.read(lambda connection: list_jobs(connection, query, viewer))

    async def end(self, job_id: str, viewer: Viewer) -> str | None:
        """Cancel the job, and return it as JSON when nothing works on it any more; None if it had ended and is gone.

        Raises:
            UnknownJob: there is none.
        """

        def cancel_or_remove(connection: Connection) -> str | None:
            find_job(connection, job_id, viewer)
            if not cancel(connection, job_id, self._settings.job_retention_seconds):
                remove_ended(connection, job_id)
                return None
            return job_json(connection, find_job(connection, job_id, viewer))

        json = await self._database.write(cancel_or_remove)
        await self.runner.drop(job_id)
        self._uploads.remove(job_id)
        self.listeners.wake(job_id)
        return json

    async def missed(self, job_id: str, viewer: Viewer, last_seen: str | None) -> tuple[list[tuple[Event, str]], bool]:
        """The events after `last_seen`, each with its data as JSON, and whether the job has ended.

        Raises:
            UnknownJob: there is none.
        """

        def look(connection: Connection) -> tuple[list[tuple[Event, str]], bool]:
            row = find_job(connection, job_id, viewer)
            events = missed_events(row, last_seen)
            return [
                (event, job_json(connection, row) if event.data is None else event.data.model_dump_json())
                for event in events
            ], row.state in ENDED

        return await self._database.read(look)

    def listen(self, job_id: str) -> AbstractContextManager[asyncio.Event]:
        """See `Listeners.listen`."""
        return self.listeners.listen(job_id)

    async def _require_room(self, request: Request, num_bytes: int) -> None:
        total = self._num_bytes_arriving + num_bytes
        await self._database.read(lambda connection: require_room(connection, request, total, self._settings))

    async def _receive(self, upload: Upload, request: Request) -> Submitted:
        job_id = new_job_id()
        with self._uploads.place(job_id) as place:
            video = await self._receiver.receive(upload, place.path)
            await asyncio.to_thread(self._uploads.make_last, place.path)

            def accept(connection: Connection) -> Submitted:
                row, is_new = submit(connection, job_id, request, video, self._settings)
                # Before it is known whether that will be committed: a file too many is found and removed some day,
                # a job whose file is missing is lost.
                place.is_kept = is_new
                return Submitted(row.id, job_json(connection, row), is_new)

            submitted = await self._database.write(accept)
        self.runner.nudge()
        return submitted
