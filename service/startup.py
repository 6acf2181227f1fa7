"""Opens the parts of the service at the start, and closes them at the end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.inference.errors import InferenceError
from service.lifecycle import Lifecycle
from service.state import AppState
from service.task_groups import first_error
from service.telemetry.logs import timed
from service.video.errors import DecoderFailed

_log = logging.getLogger(__name__)

# While the upload directory cannot be used.
_RECHECK_SECONDS = 1.0


@asynccontextmanager
async def running(state: AppState) -> AsyncIterator[None]:
    """Run the service while the context lasts: start it in the background, and close every part at the end."""
    if state.tracing is not None:
        state.tracing.start()
    # The start takes seconds, during which /health reports `starting`.
    starting = asyncio.create_task(start(state))
    starting.add_done_callback(lambda task: fail_if_raised(task, state.lifecycle))
    watching = asyncio.create_task(_watch_uploads(state))
    try:
        yield
    finally:
        starting.cancel()
        watching.cancel()
        await asyncio.wait({starting, watching})
        await _close(state)


async def start(state: AppState) -> None:
    """Open every part, load the models and become ready; then watch the models directory if necessary.

    Raises the first error of any part; `fail_if_raised` makes it the state that /health reports.
    """
    lifecycle = state.lifecycle
    # A service that cannot store an upload is not ready.
    await _check_uploads(state)
    with first_error():
        async with asyncio.TaskGroup() as group:
            group.create_task(_probe_formats(state))
            group.create_task(_start_decode_workers(state))
            group.create_task(state.control.load_at_start())
            if state.jobs is not None:
                # Its errors do not fail the start: predictions need no jobs.
                group.create_task(state.jobs.open())
    if state.jobs is not None:
        state.jobs.start()
    lifecycle.become_ready()
    _log.info("ready")
    await state.control.watch()


def fail_if_raised(starting: asyncio.Task[None], lifecycle: Lifecycle) -> None:
    """Report a failed start by /health; the process goes on, so that /health can be read."""
    if starting.cancelled() or (error := starting.exception()) is None:
        return
    _log.error("not ready", exc_info=error)
    # Messages of these errors are for operators. Any other error is in the log only, and so is the path of an OSError.
    if isinstance(error, InferenceError | DecoderFailed):
        detail = str(error)
    elif isinstance(error, OSError):
        detail = f"{error.strerror or type(error).__name__}; the log of the service has the details"
    else:
        detail = "internal error"
    lifecycle.fail(detail)


async def _close(state: AppState) -> None:
    if state.jobs is not None:
        await state.jobs.close()
    await state.control.close()
    await state.sandbox.close()
    await state.receiver.close()
    state.uploads.close()
    if state.tracing is not None:
        await asyncio.to_thread(state.tracing.close)


async def _watch_uploads(state: AppState) -> None:
    interval_seconds = state.settings.upload_dir_check_seconds
    is_usable = True
    while True:
        # A directory that is well again makes the service ready at once.
        await asyncio.sleep(interval_seconds if is_usable else min(interval_seconds, _RECHECK_SECONDS))
        is_usable = await _check_uploads(state)


async def _check_uploads(state: AppState) -> bool:
    """Create the upload directory if it is missing; while that is impossible, the service is not ready.

    Returns whether the directory can be used.
    """
    try:
        await asyncio.to_thread(state.uploads.open)
    except OSError as error:
        state.lifecycle.block(
            "uploads",
            "directory",
            f"The upload directory cannot be used: {error.strerror or type(error).__name__}. Check SERVICE_UPLOAD_DIR: "
            "its mount and its rights.",
        )
        return False
    state.lifecycle.recover("uploads")
    return True


async def _probe_formats(state: AppState) -> None:
    with timed("formats probed"):
        await state.formats.probe()


async def _start_decode_workers(state: AppState) -> None:
    with timed("decode workers started"):
        await state.sandbox.start()
