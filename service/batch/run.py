"""One run of a batch: the videos of a folder or bucket, looked at by the service without its HTTP."""

import argparse
import asyncio
import errno
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from framewise.schemas.prediction import Prediction, PredictQuery
from framewise.schemas.problem import Problem
from service.api import problems
from service.app import create_app
from service.batch.inputs import VideoFolder
from service.batch.outputs import Row, RowFolder
from service.prediction.pipeline import Progress as ClipProgress
from service.settings import Settings
from service.state import Parts
from service.uploads.receive import ReceivedVideo

_MOST_ROWS_PER_PART = 1000
_MOST_SECONDS_PER_PART = 60

_log = logging.getLogger(__name__)
STANDARD_ERROR = Console(stderr=True, highlight=False)
"""Progress and complaints; standard output stays free."""


class ExitStatus(IntEnum):
    """How a batch ended."""

    ALL_ANSWERED = 0
    SOME_PROBLEMS = 1
    USAGE = 2
    NO_MODEL = 3
    INTERRUPTED = 130


class NoModel(Exception):
    """The service that is to answer does not become ready."""


class FileUnreachable(Exception):
    """A file's bytes cannot be had."""


@dataclass
class Tally:
    """The rows found since the last part was written, and what all rows of this run came to."""

    out: RowFolder
    outcomes: Counter[str] = field(default_factory=Counter)
    _rows: list[Row] = field(default_factory=list)
    _since: float = field(default_factory=time.monotonic)
    _is_writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def add(self, row: Row) -> None:
        """Count the row; write a part when enough rows, or seconds, are gathered. Raises OSError where it cannot."""
        self.outcomes["answered" if row.problem is None else row.problem.code] += 1
        self._rows.append(row)
        if len(self._rows) >= _MOST_ROWS_PER_PART or time.monotonic() - self._since >= _MOST_SECONDS_PER_PART:
            await self.write()

    async def write(self) -> None:
        """Write down what is gathered, in a thread: a bucket takes its time, and videos go on meanwhile.

        Cancelled, it waits until the part is there or has failed; rows of a part that failed are gathered still.
        """
        async with self._is_writing:
            rows, self._rows, self._since = self._rows, [], time.monotonic()
            if not rows:
                return
            writing = asyncio.create_task(asyncio.to_thread(self.out.add, rows))
            try:
                await asyncio.shield(writing)
            finally:
                await asyncio.wait({writing})
                if writing.exception() is not None:
                    self._rows = rows + self._rows


@dataclass(frozen=True)
class Batch:
    """One run: the service's parts, the videos, what is asked about each, and where the answers go."""

    parts: Parts
    videos: VideoFolder
    query: PredictQuery
    tally: Tally

    @property
    def num_at_once(self) -> int:
        """Enough files that one is always ready when a decode process is; never more clips than the queue takes."""
        settings = self.parts.settings
        return max(1, min(2 * settings.decode_children, settings.max_queued_clips // settings.max_clips_in_flight))

    async def run(self, names: list[str]) -> None:
        """Look at every file of `names`; cancelled, it writes down what it has. Raises OSError where it cannot."""
        rest = iter(names)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        try:
            with Progress(*columns, console=STANDARD_ERROR, disable=not STANDARD_ERROR.is_terminal) as progress:
                task = progress.add_task("videos", total=len(names))
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.num_at_once):
                        group.create_task(self._work(rest, lambda: progress.advance(task)))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            await self.tally.write()

    async def _work(self, rest: Iterator[str], advance: Callable[[], None]) -> None:
        for name in rest:
            await self.tally.add(await self._row(name))
            advance()

    async def _row(self, name: str) -> Row:
        request_id = secrets.token_hex(16)
        video = prediction = problem = None
        try:
            with self.parts.classifier.uploads.place() as place:
                video = await self._fetch(name, place)
                prediction = await self._predict(video, request_id)
        except FileUnreachable as error:
            problem = Problem(
                title="File unreachable", status=502, detail=str(error), code="file_unreachable", request_id=request_id
            )
        except Exception as error:  # noqa: BLE001 - as for a request: whatever it is, it is told as a problem
            problem = problems.explain(error, request_id)
            if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                _log.exception("internal error", extra={"file": name, "request_id": request_id})
        return Row(
            file=name,
            num_bytes=None if video is None else video.num_bytes,
            sha256=None if video is None else video.sha256,
            prediction=prediction,
            problem=problem,
        )

    async def _fetch(self, name: str, place: Path) -> ReceivedVideo:
        try:
            return await asyncio.to_thread(self.videos.fetch, name, place)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise FileUnreachable(f"{name} cannot be read: {error.strerror or type(error).__name__}.") from error

    async def _predict(self, video: ReceivedVideo, request_id: str) -> Prediction:
        settings = self.parts.settings
        return await self.parts.classifier.predict_later(
            video,
            self.query,
            request_id,
            deadline_seconds=settings.job_deadline_seconds,
            max_duration_seconds=max(settings.job_max_duration_seconds, settings.max_duration_seconds),
            progress=ClipProgress(),
        )


@asynccontextmanager
async def service_parts(settings: Settings) -> AsyncIterator[Parts]:
    """The parts of a service that is ready, and takes neither requests nor jobs.

    Raises:
        NoModel: it does not become ready.
    """
    own = {"jobs_dir": None, "database_url": None, "watch_models_seconds": 0.0}
    app = create_app(settings.model_copy(update=own))
    async with app.router.lifespan_context(app):
        parts: Parts = app.state.parts
        await parts.lifecycle.wait_until_decided()
        if not parts.lifecycle.is_ready:
            raise NoModel(parts.lifecycle.health().detail)
        yield parts


async def run_batch(arguments: argparse.Namespace) -> int:
    """Do what the command line says; the exit status."""
    videos = VideoFolder(arguments.source)
    names = await asyncio.to_thread(videos.names, arguments.shard)
    async with service_parts(Settings()) as parts:
        with parts.classifier.models.acquire(arguments.model, arguments.version) as model:
            manifest, digest = model.stored.manifest, model.stored.digest
        query = PredictQuery(
            model=manifest.name, version=manifest.version, top_k=arguments.top_k, frames=arguments.frames
        )
        asked: dict[str, object] = {"query": query.model_dump(mode="json", exclude_none=True), "digest": digest}
        out, done = await asyncio.to_thread(_opened, arguments, asked, frozenset(names))
        rest = [name for name in names if name not in done]
        tally = Tally(out)
        try:
            await Batch(parts, videos, query, tally).run(rest)
        finally:
            STANDARD_ERROR.print(_summary(len(names), len(names) - len(rest), tally.outcomes), markup=False)
    return ExitStatus.ALL_ANSWERED if tally.outcomes.keys() <= {"answered"} else ExitStatus.SOME_PROBLEMS


def _opened(
    arguments: argparse.Namespace, asked: dict[str, object], names: Collection[str]
) -> tuple[RowFolder, Collection[str]]:
    """The folder of rows, ready for those of `asked`, and the files that have one already. Blocks.

    Problems are forgotten of the files `names`, this shard's own, alone.
    """
    out = RowFolder(arguments.target, arguments.format)
    out.open(asked)
    if arguments.retry_problems:
        out.forget_problems(names)
    return out, out.done()


def _summary(num_files: int, num_done_before: int, outcomes: Counter[str]) -> str:
    found = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "none left to look at"
    return f"{num_files} files, {num_done_before} done before: {found}"
