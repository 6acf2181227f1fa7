"""From the start of the process to `ready`, or to `failed` and why."""

import asyncio
import logging

from service.inference.errors import InferenceError
from service.lifecycle import Lifecycle
from service.model_control.loader import ModelLoader
from service.state import Parts
from service.telemetry.logs import timed
from service.video.errors import DecoderFailed

_log = logging.getLogger(__name__)


async def start(parts: Parts, loader: ModelLoader) -> None:
    """Open everything at the same time, and be ready when every model has proved itself.

    Raises whatever stands in the way; `fail_if_raised` makes it the state that /health tells.
    """
    lifecycle, seconds = parts.lifecycle, parts.settings.watch_models_seconds
    # A service that cannot take an upload is not ready, however well its models are.
    parts.classifier.uploads.open()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_probe(parts))
            group.create_task(_start_decode_workers(parts))
            group.create_task(_load_models(parts, loader))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if parts.jobs is not None:
        await parts.jobs.open(lambda: lifecycle.fail("internal error"))
    lifecycle.become_ready()
    _log.info("ready")
    if seconds:
        await parts.control.watch(seconds)


def fail_if_raised(starting: asyncio.Task[None], lifecycle: Lifecycle) -> None:
    """Let the service stay alive and say why it is not ready."""
    if starting.cancelled() or (error := starting.exception()) is None:
        return
    _log.error("not ready", exc_info=error)
    # What a model lacks is for operators to read; what nobody expected is in the log.
    lifecycle.fail(str(error) if isinstance(error, InferenceError | DecoderFailed | OSError) else "internal error")


async def _probe(parts: Parts) -> None:
    with timed("formats probed"):
        await parts.formats.probe()


async def _start_decode_workers(parts: Parts) -> None:
    with timed("decode workers started"):
        await parts.classifier.sandbox.start()


async def _load_models(parts: Parts, loader: ModelLoader) -> None:
    # Named before the engine is imported, so that /health tells from the first moment what is coming.
    directories = parts.control.select_at_start()
    await loader.open()
    await parts.control.load_all(directories)
