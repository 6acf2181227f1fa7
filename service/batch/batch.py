"""Classifies the files of one run with the service's own code, without HTTP."""

import asyncio
import errno
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from framewise.schemas.prediction import Prediction, PredictQuery
from framewise.schemas.problem import Problem
from service.api import problems
from service.batch.inputs import VideoFolder
from service.batch.progress import showing_progress
from service.batch.row_buffer import RowBuffer
from service.batch.rows import Row, row_name
from service.prediction.pipeline import ClipProgress
from service.state import AppState
from service.task_groups import first_error
from service.uploads.receive import ReceivedVideo


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
        try:
            with first_error():
                async with (
                    showing_progress(len(names), self.rows.num_problems) as advance,
                    asyncio.TaskGroup() as group,
                ):
                    for _ in range(self.max_concurrent_files):
                        group.create_task(self._classify_files(remaining, advance))
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
            problem = problems.explain_and_log(error, request_id, file=row_name(name))
        return Row(
            file=row_name(name),
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
            reason = error.strerror or " ".join(str(error).split())[:200] or type(error).__name__
            raise FileUnreachable(f"{row_name(name)} cannot be read: {reason}.") from error

    async def _predict(self, video: ReceivedVideo, request_id: str) -> Prediction:
        settings = self.state.settings
        return await self.state.classifier.predict_later(
            video,
            self.query,
            request_id,
            caller="batch",
            deadline_seconds=settings.job_deadline_seconds,
            max_duration_seconds=max(settings.job_max_duration_seconds, settings.max_duration_seconds),
            progress=ClipProgress(),
        )
