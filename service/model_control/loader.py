"""Brings one model up: verify, load, prove its batch sizes, replay its golden clips.

A model that answers otherwise than when it was exported is not served.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from service.inference.batch_sizes import verified_batch_sizes
from service.inference.batcher import Batcher
from service.inference.engine import EngineRuntime
from service.inference.errors import InvalidModel
from service.inference.repository import ReadyModel
from service.inference.settings import InferenceSettings
from service.inference.stored_model import StoredModel, read_model
from service.model_control.golden import replay_golden
from service.telemetry.logs import timed
from service.telemetry.metrics import Metrics
from service.video.sandbox.pool import Sandbox

_log = logging.getLogger(__name__)

LOADING_THREAD = "load"
ANSWERING_THREAD = "model"
"""How the thread's name begins in which models are loaded. Deep in an engine, nothing can interrupt it."""

ImportEngine = Callable[[], EngineRuntime]
Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class ModelLoader:
    """Loads models in a thread of its own, one at a time; those that are ready answer meanwhile, in others."""

    def __init__(
        self, settings: InferenceSettings, sandbox: Sandbox, metrics: Metrics, import_engine: ImportEngine
    ) -> None:
        """`import_engine` is called in the loading thread, once."""
        self._settings = settings
        self._sandbox = sandbox
        self._metrics = metrics
        self._import_engine = import_engine
        self._engine: EngineRuntime | None = None
        self._loading = ThreadPoolExecutor(max_workers=1, thread_name_prefix=LOADING_THREAD)
        self._answering: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Import the engine, which takes seconds."""
        with timed("engine imported", engine=self._settings.engine):
            self._engine = await self._in_thread(self._import_engine)
        # Of all models together: they share the same cores.
        self._answering = ThreadPoolExecutor(self._engine.num_batch_threads, thread_name_prefix=ANSWERING_THREAD)

    def close(self) -> None:
        """Take no more work; what a thread is at goes on, and is not waited for."""
        for executor in (self._loading, self._answering):
            if executor is not None:
                executor.shutdown(wait=False, cancel_futures=True)

    async def read(self, directory: Path) -> StoredModel:
        """The verified model in `directory`; raises InvalidModel."""
        with timed("model verified", model=_name(directory)):
            return await self._in_thread(read_model, directory)

    async def load(self, stored: StoredModel) -> ReadyModel:
        """The model, answering as it did at its export.

        Raises:
            InvalidModel: it does not.
            DecoderFailed: its golden clips cannot be decoded, through a fault of the service.
        """
        assert self._engine is not None
        assert self._answering is not None
        manifest, name = stored.manifest, _name(stored.directory)
        clip = manifest.clip
        clip_shape = (clip.num_frames, clip.height, clip.width, 3)
        with timed("model loaded", model=name):
            engine = await self._in_thread(self._engine.load, stored.directory, manifest)
        with timed("model warmed", model=name):
            try:
                batch_sizes = await self._in_thread(
                    verified_batch_sizes, engine.run, clip_shape, self._settings.batch_sizes
                )
            except Exception as error:
                raise InvalidModel(f"{stored.directory}: it fails on the clips that prove it: {error}") from error
        batcher = Batcher(
            engine.run,
            clip_shape=clip_shape,
            allowed_batch_sizes=batch_sizes,
            num_batch_threads=self._engine.num_batch_threads,
            max_queue_length=self._settings.max_queued_clips,
            executor=self._answering,
            observe=partial(self._metrics.observe_batch, manifest.name, manifest.version),
        )
        batcher.start()
        try:
            with timed("golden clips replayed", model=name):
                sees_training_pixels = await replay_golden(
                    stored, self._sandbox, batcher, self._metrics, engine.max_difference
                )
        except BaseException:
            await batcher.close()
            raise
        return ReadyModel(
            stored=stored,
            batcher=batcher,
            batch_sizes=tuple(batch_sizes),
            engine=engine.name,
            device=engine.device,
            ready_at_unix_seconds=time.time(),
            sees_training_pixels=sees_training_pixels,
        )

    async def _in_thread(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._loading, work, *arguments)


def _name(directory: Path) -> str:
    return f"{directory.parent.name}/{directory.name}"
