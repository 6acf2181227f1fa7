"""`python -m service.batch IN OUT`: look at every video of a folder or bucket, and write down what they show.

The service itself does it, without its HTTP: built by `service.app` from the same `SERVICE_` settings, so a
video gets the answer, or the problem, that a request would have got. Limits are those of jobs. What is
written is told in `service.batch_output`, what is read in `service.batch_input`.

Exit status:
    0  every file was answered
    1  some have a problem, which is written beside their names
    2  the command line is wrong, IN has no files, OUT cannot be written or holds another batch
    3  the model cannot be loaded
  130  interrupted; the same command goes on where this one stopped
"""

import argparse
import asyncio
import errno
import logging
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service import problems
from service.app import create_app
from service.batch_input import Shard, VideoFolder
from service.batch_output import Format, OtherBatch, Row, RowFolder
from service.classify import Progress as ClipProgress
from service.inference.errors import UnknownModel
from service.parts import Parts
from service.schemas import Prediction, PredictQuery, Problem
from service.settings import Settings
from service.telemetry import set_up_logging
from service.upload import ReceivedVideo

_MOST_ROWS_PER_PART = 1000
_MOST_SECONDS_PER_PART = 60
_OK, _PROBLEMS, _USAGE, _NO_MODEL, _INTERRUPTED = 0, 1, 2, 3, 130

_log = logging.getLogger(__name__)
_err = Console(stderr=True, highlight=False)


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
            with Progress(*columns, console=_err, disable=not _err.is_terminal) as progress:
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
            length_factor=max(1.0, settings.job_max_duration_seconds / settings.max_duration_seconds),
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
        with parts.classifier.models.lend(arguments.model, arguments.version) as model:
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
            _err.print(_summary(len(names), len(names) - len(rest), tally.outcomes), markup=False)
    return _OK if tally.outcomes.keys() <= {"answered"} else _PROBLEMS


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


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says, and stop in good order when told to."""
    told = command_line().parse_args(arguments)
    set_up_logging("warning")

    async def run() -> int:
        task = asyncio.current_task()
        assert task is not None
        for sig in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sig, task.cancel)
        return await run_batch(told)

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        return _INTERRUPTED
    except NoModel as error:
        _err.print(f"No model: {error}", style="red", markup=False, soft_wrap=True)
        return _NO_MODEL
    except (OtherBatch, UnknownModel, OSError, ValueError) as error:
        _err.print(str(error), style="red", markup=False, soft_wrap=True)
        return _USAGE


def command_line() -> argparse.ArgumentParser:
    """What the command line may say."""
    parser = argparse.ArgumentParser(
        prog="python -m service.batch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="IN", help="a video, or a folder of them: a path, or a URL such as s3://...")
    parser.add_argument("target", metavar="OUT", help="the folder to write to, likewise")
    parser.add_argument("--format", choices=get_args(Format), default="jsonl", help="default: jsonl")
    parser.add_argument("--model", help="default: the default model")
    parser.add_argument("--version", help="default: its latest")
    parser.add_argument("--top-k", type=int, help="only the k likeliest labels")
    parser.add_argument("--frames", choices=["all", "top", "none"], default="all", help="which frames to list")
    parser.add_argument(
        "--shard", type=Shard.parse, default=Shard(1, 1), metavar="N/M", help="only the Nth of M parts of the files"
    )
    parser.add_argument(
        "--retry-problems", action="store_true", help="look again at files that have a problem instead of an answer"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
