"""Loads and unloads models while requests are running."""

import asyncio
import gc
import logging
from pathlib import Path

from service.inference.errors import InvalidModel, TooManyModels, UnknownModel
from service.inference.repository import ModelRepository, ReadyModel
from service.inference.stored_model import find_models
from service.lifecycle import Lifecycle
from service.model_control.loader import ModelLoader
from service.model_control.models_directory import latest_first, models_on_disk
from service.model_control.settings import ModelControlSettings
from service.model_control.watcher import watch_models
from service.telemetry.metrics import Metrics
from service.video.errors import DecoderFailed

_log = logging.getLogger(__name__)


class ModelControl:
    """Loads and unloads models, one change at a time. A request keeps its model until it ends."""

    def __init__(
        self,
        settings: ModelControlSettings,
        models: ModelRepository,
        lifecycle: Lifecycle,
        loader: ModelLoader,
        metrics: Metrics,
    ) -> None:
        self._models_dir = settings.models_dir
        self._models_at_start = frozenset(settings.models_at_start)
        self._max_loaded_models = settings.max_loaded_models
        self._models = models
        self._lifecycle = lifecycle
        self._loader = loader
        self._metrics = metrics
        self._changing = asyncio.Lock()
        self._retiring: dict[asyncio.Task[None], ReadyModel] = {}

    def select_at_start(self) -> list[Path]:
        """The directories of the models to load at start, at most `max_loaded_models`; also selects the default model.

        Latest versions take precedence over older ones, and the default model over others.

        Raises:
            InvalidModel: the models directory has no model.
            UnknownModel: it lacks the default model, or one of `models_at_start`.
        """
        directories = find_models(self._models_dir)
        if self._models_at_start:
            missing = sorted(self._models_at_start - {directory.parent.name for directory in directories})
            if missing:
                raise UnknownModel(
                    f"There is no model {missing[0][:64]!r} in the models directory (SERVICE_MODELS_AT_START)."
                )
            directories = [directory for directory in directories if directory.parent.name in self._models_at_start]
        default = self._models.select_default({directory.parent.name for directory in directories})
        selected = latest_first(directories, default)[: self._max_loaded_models]
        for directory in directories:
            if directory in selected:
                self._lifecycle.set_model(directory.parent.name, directory.name, "loading", None)
            else:
                _log.warning(
                    "too many models: one is not loaded (SERVICE_MAX_LOADED_MODELS)", extra={"model": str(directory)}
                )
        return sorted(selected, key=directories.index)

    async def open(self) -> None:
        """Import the engine, which takes seconds."""
        await self._loader.open()

    async def load_all(self, directories: list[Path]) -> None:
        """Load the models in these directories.

        Raises:
            InvalidModel: some of them are invalid; the others are loaded anyway.
        """
        failures = []
        for directory in directories:
            try:
                await self._load_or_replace(directory, None)
            except InvalidModel as error:
                failures.append(str(error))
        if failures:
            raise InvalidModel("; ".join(failures))

    async def load(self, name: str, version: str) -> None:
        """Load a version, or replace it if its files on disk have changed.

        Raises:
            UnknownModel: the version is not on disk.
            InvalidModel: the version on disk is invalid; a loaded version stays in service.
            TooManyModels: `max_loaded_models` are loaded already.
            NotReady: the service is starting, has failed or is draining.
        """
        async with self._changing:
            self._lifecycle.require_changeable()
            on_disk = await asyncio.to_thread(models_on_disk, self._models_dir)
            directory = on_disk.get((name, version))
            if directory is None:
                raise UnknownModel(
                    f"There is no model {name[:64]!r}, version {version[:16]!r}, in the models directory."
                )
            current = self._models.find(name, version)
            if current is None and len(self._models.all()) >= self._max_loaded_models:
                raise TooManyModels(
                    f"{self._max_loaded_models} models are loaded already (SERVICE_MAX_LOADED_MODELS); unload one."
                )
            await self._load_or_replace(directory, current)

    async def unload(self, name: str, version: str) -> None:
        """Unload a version: withdraw it from new requests, wait for those in flight, free its memory.

        Raises:
            UnknownModel: the version is not loaded.
            LastVersion: it is the default model's only version.
            NotReady: the service is starting, has failed or is draining.
        """
        async with self._changing:
            self._lifecycle.require_changeable()
            model = self._models.remove(name, version)
            self._lifecycle.set_model(name, version, "unloading", None)
        retiring = self._retire(model)
        # This frame's reference would keep the model in memory.
        del model
        await asyncio.shield(retiring)

    async def watch(self, interval_seconds: float) -> None:
        """Load new and changed models from the models directory at an interval, until cancelled."""
        await watch_models(self._models_dir, interval_seconds, self.load)

    async def close(self) -> None:
        """Close all batchers, including those of models that are being unloaded, and the loader."""
        for model in (*self._models.all(), *self._retiring.values()):
            await model.batcher.close()
        for task in tuple(self._retiring):
            task.cancel()
        self._loader.close()

    async def _load_or_replace(self, directory: Path, current: ReadyModel | None) -> None:
        """Load the model in `directory`; if it differs from `current`, replace that, which ends after its requests."""
        name, version = directory.parent.name, directory.name
        if current is None:
            self._lifecycle.set_model(name, version, "loading", None)
        try:
            stored = await self._loader.read(directory)
            ready = None
            if current is None or current.stored.digest != stored.digest:
                ready = await self._loader.load(stored)
        except BaseException as error:
            why = str(error) if isinstance(error, InvalidModel | DecoderFailed) else "loading did not complete"
            if current is None:
                self._lifecycle.set_model(name, version, "failed", why)
            else:
                self._lifecycle.set_model(name, version, "ready", f"The version on disk was not loaded: {why}")
            raise
        self._lifecycle.set_model(name, version, "ready", None)
        if ready is None:
            return
        self._models.add(ready)
        _log.info("model ready", extra={"model": f"{name}/{version}", "batch_sizes": ready.batch_sizes})
        if current is not None:
            self._retire(current)

    def _retire(self, model: ReadyModel) -> asyncio.Task[None]:
        task = asyncio.create_task(self._close_when_idle(model))
        self._retiring[task] = model
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        # A cancelled task has not removed itself.
        self._retiring.pop(task, None)
        # Engine objects form reference cycles, which Python's own collection would free minutes later.
        gc.collect()

    async def _close_when_idle(self, model: ReadyModel) -> None:
        await model.in_flight.wait_until_zero()
        await model.batcher.close()
        manifest = model.stored.manifest
        _log.info("model unloaded", extra={"model": f"{manifest.name}/{manifest.version}"})
        task = asyncio.current_task()
        assert task is not None
        del self._retiring[task]
        # The version may have been replaced or loaded again, or a replaced copy of it may still have requests.
        retiring = {(other.stored.manifest.name, other.stored.manifest.version) for other in self._retiring.values()}
        is_last = (manifest.name, manifest.version) not in retiring
        if is_last and self._models.find(manifest.name, manifest.version) is None:
            self._lifecycle.forget_model(manifest.name, manifest.version)
            self._metrics.forget_model(manifest.name, manifest.version)
