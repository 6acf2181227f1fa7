"""One run of a batch: classifies the files of a folder or bucket with the service's own code, without HTTP."""

import argparse
import asyncio
import errno
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from framewise.schemas.prediction import Prediction, PredictQuery
from framewise.schemas.problem import Problem
from service.api import problems
from service.app import create_app
from service.batch.inputs import VideoFolder
from service.batch.outputs import RowFolder
from service.batch.row_buffer import RowBuffer
from service.batch.rows import Row
from service.prediction.pipeline import ClipProgress
from service.settings import Settings
from service.state import AppState
from service.task_groups import first_error
from service.uploads.receive import ReceivedVideo

STANDARD_ERROR = Console(stderr=True, highlight=False)
"""Console for progress and errors."""


class ExitStatus(IntEnum):
    """Exit status of the command."""

    ALL_CLASSIFIED = 0
    SOME_PROBLEMS = 1
    USAGE = 2
    NO_MODEL = 3
    INTERRUPTED = 130


class NoModel(Exception):
    """The service did not become ready."""


class FileUnreachable(Exception):
    """The storage did not return the file."""


@dataclass(frozen=True)
class Batch:
    """One run: the service, the input files, the query, and the buffer for the rows."""

    state: AppState
    videos: VideoFolder
    query: PredictQuery
    rows: RowBuffer

    @property
    def max_concurrent_files(self) -> int:
        """Twice the number of decode workers, to keep them busy, bounded by the model's clip queue."""
        settings = self.state.settings
        return max(1, min(2 * settings.decode_children, settings.max_queued_clips // settings.max_clips_in_flight))

    async def run(self, names: list[str]) -> None:
        """Classify the files. A cancelled call writes the finished rows. Raises OSError if a part cannot be written."""
        remaining = iter(names)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = Progress(*columns, console=STANDARD_ERROR, disable=not STANDARD_ERROR.is_terminal)
        try:
            with first_error(), progress:
                task = progress.add_task("videos", total=len(names))
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.max_concurrent_files):
                        group.create_task(self._classify_files(remaining, lambda: progress.advance(task)))
        finally:
            await self.rows.write()

    async def _classify_files(self, names: Iterator[str], advance: Callable[[], None]) -> None:
        for name in names:
            await self.rows.add(await self._row(name))
            advance()

    async def _row(self, name: str) -> Row:
        request_id = secrets.token_hex(16)
        video = prediction = problem = None
        try:
            with self.state.uploads.reserve_path() as download_path:
                video = await self._fetch(name, download_path)
                prediction = await self._predict(video, request_id)
        except FileUnreachable as error:
            problem = Problem(
                title="File unreachable", status=502, detail=str(error), code="file_unreachable", request_id=request_id
            )
        except Exception as error:  # noqa: BLE001 - as for a request: any error becomes a problem
            problem = problems.explain_and_log(error, request_id, file=name)
        return Row(
            file=name,
            num_bytes=None if video is None else video.num_bytes,
            sha256=None if video is None else video.sha256,
            prediction=prediction,
            problem=problem,
        )

    async def _fetch(self, name: str, download_path: Path) -> ReceivedVideo:
        try:
            return await asyncio.to_thread(self.videos.fetch, name, download_path)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise FileUnreachable(f"{name} cannot be read: {error.strerror or type(error).__name__}.") from error

    async def _predict(self, video: ReceivedVideo, request_id: str) -> Prediction:
        settings = self.state.settings
        return await self.state.classifier.predict_later(
            video,
            self.query,
            request_id,
            deadline_seconds=settings.job_deadline_seconds,
            max_duration_seconds=max(settings.job_max_duration_seconds, settings.max_duration_seconds),
            progress=ClipProgress(),
        )


@asynccontextmanager
async def ready_service(settings: Settings) -> AsyncIterator[AppState]:
    """The state of a service that is ready and accepts neither requests nor jobs.

    Raises:
        NoModel: the service did not become ready.
    """
    overrides = {"jobs_dir": None, "database_url": None, "watch_models_seconds": 0.0}
    app = create_app(settings.model_copy(update=overrides))
    async with app.router.lifespan_context(app):
        state: AppState = app.state.app_state
        await state.lifecycle.wait_until_decided()
        if not state.lifecycle.is_ready:
            raise NoModel(state.lifecycle.health().detail)
        yield state


async def run_batch(arguments: argparse.Namespace) -> int:
    """Run the batch that the command line describes, and return the exit status."""
    videos = VideoFolder(arguments.source)
    names = await asyncio.to_thread(videos.names, arguments.shard)
    async with ready_service(Settings()) as state:
        with state.models.acquire(arguments.model, arguments.version) as model:
            manifest, digest = model.stored.manifest, model.stored.digest
        query = PredictQuery(
            model=manifest.name, version=manifest.version, top_k=arguments.top_k, frames=arguments.frames
        )
        batch: dict[str, object] = {"query": query.model_dump(mode="json", exclude_none=True), "digest": digest}
        folder, done = await asyncio.to_thread(_open_folder, arguments, batch, frozenset(names))
        remaining = [name for name in names if name not in done]
        rows = RowBuffer(folder)
        try:
            await Batch(state, videos, query, rows).run(remaining)
        finally:
            STANDARD_ERROR.print(_summary(len(names), len(names) - len(remaining), rows.outcomes), markup=False)
    return ExitStatus.ALL_CLASSIFIED if rows.outcomes.keys() <= {"classified"} else ExitStatus.SOME_PROBLEMS


def _open_folder(
    arguments: argparse.Namespace, batch: dict[str, object], names: Collection[str]
) -> tuple[RowFolder, Collection[str]]:
    """The opened folder, and the files that already have a row. Blocks.

    With `--retry-problems` the problems of `names`, the files of this shard, are removed first.
    """
    folder = RowFolder(arguments.target, arguments.format)
    folder.open(batch)
    if arguments.retry_problems:
        folder.remove_problems(names)
    return folder, folder.files()


def _summary(num_files: int, num_done_before: int, outcomes: Counter[str]) -> str:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "no files left"
    return f"{num_files} files, {num_done_before} done before: {counts}"
