"""Sets up one run of a batch: the service, the folder, the remaining files."""

import argparse
import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from enum import IntEnum

from framewise.schemas.prediction import PredictQuery
from service.app import create_app
from service.batch.batch import STANDARD_ERROR, Batch
from service.batch.inputs import VideoFolder
from service.batch.outputs import RowFolder
from service.batch.row_buffer import RowBuffer
from service.settings import Settings, read_settings
from service.state import AppState


class ExitStatus(IntEnum):
    """Exit status of the command."""

    ALL_CLASSIFIED = 0
    SOME_PROBLEMS = 1
    USAGE = 2
    NO_MODEL = 3
    INTERRUPTED = 130


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


async def run_batch(arguments: argparse.Namespace) -> int:
    """Run the batch that the command line describes, and return the exit status."""
    settings = read_settings()
    videos = VideoFolder(arguments.source)
    names = await asyncio.to_thread(videos.names, arguments.shard)
    async with ready_service(settings) as state:
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
