"""Progress bars of uploads and jobs on standard error; nothing without a terminal."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from framewise.cli.terminal import err
from framewise.client import Client
from framewise.client.multipart import OnProgress
from framewise.schemas.jobs import Job, JobEvent


class ProgressBars:
    """The bars of one command, one for each video in progress. Threads may share it."""

    def __init__(self, *, is_quiet: bool = False) -> None:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[amount]}"))
        self._progress = Progress(
            *columns,
            console=err,
            transient=True,
            disable=is_quiet or not err.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._lock = threading.Lock()
        self._num_shown = 0

    @contextmanager
    def upload(self, name: str, next_step: str) -> Iterator[OnProgress]:
        """A progress callback for an upload; `next_step` is shown when all bytes are sent."""
        with self._bar(name) as bar:

            def update(num_sent: int, num_bytes: int) -> None:
                self._progress.update(
                    bar,
                    completed=num_sent,
                    total=num_bytes,
                    description=f"{name}: {next_step}" if num_sent == num_bytes else name,
                    amount=f"{decimal(num_sent)} of {decimal(num_bytes)}",
                )

            yield update

    def wait_for_job(self, client: Client, job_id: str, name: str, timeout: float | None = None) -> Job:
        """Wait until the job has ended and return it."""
        with self._bar(name) as bar:

            def update(event: JobEvent) -> None:
                done, total = (event.progress.num_clips_done, event.progress.num_clips) if event.progress else (0, None)
                amount = "" if total is None else f"{done}/{total} clips"
                self._progress.update(
                    bar, completed=done, total=total, description=f"{name}: {event.state}", amount=amount
                )

            return client.wait_for_job(job_id, update, timeout=timeout)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """No bars are drawn while the context lasts, so that it may print."""
        with self._lock:
            self._progress.stop()
            try:
                yield
            finally:
                if self._num_shown:
                    self._progress.start()

    @contextmanager
    def _bar(self, name: str) -> Iterator[TaskID]:
        with self._lock:
            self._num_shown += 1
            self._progress.start()
            bar = self._progress.add_task(name, total=None, amount="")
        try:
            yield bar
        finally:
            with self._lock:
                self._progress.remove_task(bar)
                self._num_shown -= 1
                if not self._num_shown:
                    self._progress.stop()
