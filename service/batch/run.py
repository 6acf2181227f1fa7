"""Sets up one run of a batch: the service, the folder, the remaining files."""

import argparse
import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from framewise.schemas.prediction import PredictQuery
from service.app import create_app
from service.batch.batch import Batch
from service.batch.inputs import VideoFolder
from service.batch.options import ExitStatus
from service.batch.outputs import BatchMismatch, RowFolder
from service.batch.progress import STANDARD_ERROR, print_step
from service.batch.row_buffer import RowBuffer
from service.batch.rows import row_name
from service.environment import InvalidSettings
from service.inference.errors import UnknownModel
from service.settings import Settings, read_settings
from service.state import AppState
from service.telemetry.logs import set_up_logging


class NoModel(Exception):
    """The service did not become ready."""


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


def run_command(arguments: argparse.Namespace) -> int:
    """Run the batch and return the exit status.

    SIGINT, SIGTERM, SIGHUP and SIGQUIT stop it after the finished rows are written.
    """
    set_up_logging("warning")

    async def run() -> int:
        task = asyncio.current_task()
        assert task is not None
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            # As `nohup` starts a program, it ignores SIGHUP.
            if signal.getsignal(sig) is not signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(sig, task.cancel)
        return await run_batch(arguments)

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        return ExitStatus.INTERRUPTED
    except NoModel as error:
        _print_error(f"No model: {error}")
        return ExitStatus.NO_MODEL
    except (BatchMismatch, InvalidSettings, UnknownModel, OSError, ValueError) as error:
        _print_error(str(error))
        return ExitStatus.USAGE


async def run_batch(arguments: argparse.Namespace) -> int:
    """Run the batch that the command line describes, and return the exit status."""
    settings = read_settings()
    videos = VideoFolder(arguments.source)
    names = await asyncio.to_thread(videos.names, arguments.shard, arguments.include, arguments.target)
    print_step("Loading the model")
    async with ready_service(settings) as state:
        with state.models.acquire(arguments.model, arguments.version) as model:
            manifest, digest = model.stored.manifest, model.stored.digest
        query = PredictQuery(
            model=manifest.name,
            version=manifest.version,
            top_k=arguments.top_k,
            threshold=arguments.threshold,
            frames=arguments.frames,
        )
        batch: dict[str, object] = {"query": query.model_dump(mode="json", exclude_none=True), "digest": digest}
        folder, done = await asyncio.to_thread(_open_folder, arguments, batch, frozenset(map(row_name, names)))
        remaining = [name for name in names if row_name(name) not in done]
        print_step(f"Classifying {len(remaining)} files")
        rows = RowBuffer(folder)
        try:
            await Batch(state, videos, query, rows).run(remaining)
        finally:
            STANDARD_ERROR.print(
                _summary(len(names), len(names) - len(remaining), rows.outcomes), markup=False, soft_wrap=True
            )
            if videos.num_left_out:
                STANDARD_ERROR.print(_left_out(videos.num_left_out, arguments.include), markup=False, soft_wrap=True)
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


def _print_error(text: str) -> None:
    STANDARD_ERROR.print(text, style="red", markup=False, soft_wrap=True)


def _left_out(num_files: int, patterns: Collection[str]) -> str:
    if patterns:
        return f"{num_files} other files left out: no --include matches them"
    return f"{num_files} other files left out: they are no videos by name and content; --include '*' takes all"


def _summary(num_files: int, num_done_before: int, outcomes: Counter[str]) -> str:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "no files left"
    return f"{num_files} files, {num_done_before} done before: {counts}"
