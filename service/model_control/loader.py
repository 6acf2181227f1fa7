"""Loads a model: verify its files, load it, verify its batch sizes, replay its golden clips.

A model whose outputs differ from those at export is not served.
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
from service.prediction.pipeline import Pipeline
from service.telemetry.logs import timed
from service.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

LOADING_THREAD_PREFIX = "load"
"""Prefix of the name of the thread that loads models."""
INFERENCE_THREAD_PREFIX = "model"
"""Prefix of the names of the threads that run models. Python cannot interrupt either kind inside an engine."""

ImportEngine = Callable[[], EngineRuntime]
Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class ModelLoader:
    """Loads models in one thread, one model at a time; ready models run in other threads meanwhile."""

    def __init__(
        self, settings: InferenceSettings, pipeline: Pipeline, metrics: Metrics, import_engine: ImportEngine
    ) -> None:
        """`import_engine` is called once, in the loading thread."""
        self._settings = settings
        self._pipeline = pipeline
        self._metrics = metrics
        self._import_engine = import_engine
        self._engine: EngineRuntime | None = None
        self._loading_executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=LOADING_THREAD_PREFIX)
        self._inference_executor: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Import the engine, unless it is imported. Takes seconds; does not block the event loop."""
        if self._engine is not None:
            return
        with timed("engine imported", engine=self._settings.engine):
            self._engine = await self._in_thread(self._import_engine)
        # All models share these threads, as they share the cores.
        self._inference_executor = ThreadPoolExecutor(
            self._engine.num_batch_threads, thread_name_prefix=INFERENCE_THREAD_PREFIX
        )

    def close(self) -> None:
        """Cancel queued work; does not wait for running calls, which nothing can interrupt."""
        for executor in (self._loading_executor, self._inference_executor):
            if executor is not None:
                executor.shutdown(wait=False, cancel_futures=True)

    async def read(self, directory: Path) -> StoredModel:
        """Read and verify the model in `directory`; raises InvalidModel."""
        with timed("model verified", model=_name(directory)):
            return await self._in_thread(read_model, directory)

    async def load(self, stored: StoredModel) -> ReadyModel:
        """Load a verified model and replay its golden clips.

        Raises:
            InvalidModel: the engine cannot load or run the model, or its outputs differ from those at export.
            DecoderFailed: its golden clips cannot be decoded; the service is at fault.
        """
        assert self._engine is not None
        assert self._inference_executor is not None
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
                raise InvalidModel(f"{stored.directory}: the model fails on test clips: {error}") from error
        batcher = Batcher(
            engine.run,
            clip_shape=clip_shape,
            allowed_batch_sizes=batch_sizes,
            num_batch_threads=self._engine.num_batch_threads,
            max_queue_length=self._settings.max_queued_clips,
            executor=self._inference_executor,
            max_call_seconds=self._settings.max_call_seconds,
            observe=partial(self._metrics.observe_batch, manifest.name, manifest.version),
        )
        batcher.start()
        try:
            with timed("golden clips replayed", model=name):
                sees_training_pixels = await replay_golden(stored, self._pipeline, batcher, engine.max_difference)
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
        return await asyncio.get_running_loop().run_in_executor(self._loading_executor, work, *arguments)


def _name(directory: Path) -> str:
    return f"{directory.parent.name}/{directory.name}"
