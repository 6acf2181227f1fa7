"""Loads and unloads models while requests are running."""

import asyncio
import gc
import logging
from pathlib import Path

from service.inference.errors import InferenceError, InvalidModel, TooManyModels, UnknownModel
from service.inference.repository import ModelRepository, ReadyModel
from service.inference.stored_model import find_models
from service.lifecycle import Lifecycle
from service.model_control.loader import ModelLoader
from service.model_control.models_directory import NameAndVersion, Signature, latest_first, models_on_disk
from service.model_control.public_reason import public_reason
from service.model_control.settings import ModelControlSettings
from service.model_control.watcher import scan_or_empty, wait_for_change, watch_models
from service.telemetry.metrics import Metrics
from service.video.errors import DecoderFailed

_log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""Interval at which models that failed at start are looked at, if no interval is configured."""
_PART = "models"


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
        self._is_watching = settings.watch_models_seconds > 0
        self._interval_seconds = settings.watch_models_seconds or RETRY_SECONDS
        self._attempted: dict[NameAndVersion, Signature] = {}
        self._failed_at_start: set[NameAndVersion] = set()
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

    async def load_at_start(self) -> None:
        """Load the models of `select_at_start`; return when a version of the default model is ready.

        A start without the default model has failed, with the reason. It is tried again when the files of the models
        change. Other models that cannot be loaded degrade the service; `watch` tries them again.

        Raises:
            DecoderFailed: no golden clip can be decoded; the service is at fault.
        """
        while True:
            self._attempted = await scan_or_empty(self._models_dir)
            try:
                # Selected before the engine is imported, so that /health lists the models from the first moment.
                directories = self.select_at_start()
                await self._loader.open()
                await self._load_selected(directories)
            except InferenceError as error:
                _log.error("not ready", exc_info=error)
                self._lifecycle.fail(public_reason(error, self._models_dir))
                await wait_for_change(self._models_dir, self._interval_seconds, self._attempted)
            else:
                return

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

    async def watch(self) -> None:
        """Load new and changed models from the models directory at an interval, until cancelled.

        Without a configured interval, only until the models that failed at start are loaded or removed.
        """
        await watch_models(
            self._models_dir,
            self._interval_seconds,
            self._attempted,
            load=self.load,
            forget=self._forget_failed,
            is_needed=lambda: self._is_watching or bool(self._failed_at_start),
        )

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
            why = public_reason(error, self._models_dir)
            if current is None:
                self._lifecycle.set_model(name, version, "failed", why)
            else:
                self._lifecycle.set_model(name, version, "ready", f"The version on disk was not loaded: {why}")
            if isinstance(error, InvalidModel | DecoderFailed):
                raise type(error)(why) from error
            raise
        self._lifecycle.set_model(name, version, "ready", None)
        self._failed_at_start.discard((name, version))
        self._report_failed()
        if ready is None:
            return
        self._models.add(ready)
        _log.info("model ready", extra={"model": f"{name}/{version}", "batch_sizes": ready.batch_sizes})
        if current is not None:
            self._retire(current)

    async def _load_selected(self, directories: list[Path]) -> None:
        """Load the models in these directories that are not loaded yet.

        Raises:
            InvalidModel: no version of the default model could be loaded.
        """
        reasons: dict[NameAndVersion, str] = {}
        for directory in directories:
            model = (directory.parent.name, directory.name)
            if self._models.find(*model) is not None:
                continue
            try:
                await self._load_or_replace(directory, None)
            except DecoderFailed:
                raise
            except Exception as error:  # noqa: BLE001 - logged; no file of a model may stop the others
                _log.warning("a model was not loaded", exc_info=error, extra={"model": "/".join(model)})
                reasons[model] = public_reason(error, self._models_dir)
        for model in self._failed_at_start - reasons.keys():
            self._forget_failed(model)
        self._failed_at_start = set(reasons)
        default = self._models.default_name
        if all(model.stored.manifest.name != default for model in self._models.all()):
            raise InvalidModel("; ".join(reason for (name, _), reason in reasons.items() if name == default))
        self._report_failed()

    def _forget_failed(self, model: NameAndVersion) -> None:
        """Remove the state of a model that could not be loaded and is no longer in the models directory."""
        state = self._lifecycle.model(*model)
        if state is not None and state.state == "failed":
            self._lifecycle.forget_model(*model)
        self._failed_at_start.discard(model)
        self._report_failed()

    def _report_failed(self) -> None:
        if self._failed_at_start:
            names = ", ".join(f"{name}/{version}" for name, version in sorted(self._failed_at_start))
            self._lifecycle.degrade(
                _PART,
                "invalid_model",
                f"Not loaded at start: {names}. The list of models has the reasons. A model is loaded when its "
                "directory is corrected.",
            )
        else:
            self._lifecycle.recover(_PART)

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
