"""Which models are loaded: brings them and takes them away while requests go on."""

import asyncio
import gc
import logging
from contextlib import suppress
from pathlib import Path

from service.inference.errors import InferenceError, InvalidModel, TooManyModels, UnknownModel
from service.inference.repository import ModelRepository, ReadyModel
from service.inference.stored_model import find_models
from service.lifecycle import Lifecycle, NotReady
from service.model_control.loader import ModelLoader
from service.model_control.settings import ModelControlSettings
from service.telemetry.metrics import Metrics
from service.video.errors import DecoderFailed

_log = logging.getLogger(__name__)

Signature = frozenset[tuple[str, int, int]]
"""Path, size and time of change of every file of a model."""


class ModelControl:
    """Loads and unloads, one change at a time; a request keeps the model it began with until it has ended."""

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
        """The models to load at start, as many as may be: latest versions before older ones, the default model first.

        Raises:
            InvalidModel: there is none.
            UnknownModel: the default model is not among them, or one that was asked for is not there.
        """
        directories = find_models(self._models_dir)
        if self._models_at_start:
            missing = sorted(self._models_at_start - {directory.parent.name for directory in directories})
            if missing:
                raise UnknownModel(f"There is no model {missing[0][:64]!r} in the models directory.")
            directories = [directory for directory in directories if directory.parent.name in self._models_at_start]
        default = self._models.select_default({directory.parent.name for directory in directories})
        chosen = _latest_first(directories, default)[: self._max_loaded_models]
        for directory in directories:
            if directory in chosen:
                self._lifecycle.set_model(directory.parent.name, directory.name, "loading", None)
            else:
                _log.warning("too many models: one is not loaded", extra={"model": str(directory)})
        return sorted(chosen, key=directories.index)

    async def open(self) -> None:
        """Import the engine, which takes seconds."""
        await self._loader.open()

    async def load_all(self, directories: list[Path]) -> None:
        """Load the models in these directories.

        Raises:
            InvalidModel: one of them is not what it says; the others are loaded all the same.
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
        """Let this version answer, in the place of the one that does if its files have changed on disk.

        Raises:
            UnknownModel: it is not on disk.
            InvalidModel: it is not what it says; whatever answered before still does.
            TooManyModels: another must be unloaded first.
            NotReady: the service is starting, has failed or is draining.
        """
        async with self._changing:
            self._lifecycle.require_changeable()
            on_disk = await asyncio.to_thread(_models_on_disk, self._models_dir)
            directory = on_disk.get((name, version))
            if directory is None:
                raise UnknownModel(f"There is no {name[:64]!r}, version {version[:16]!r}, in the models directory.")
            current = self._models.find(name, version)
            if current is None and len(self._models.all()) >= self._max_loaded_models:
                raise TooManyModels(f"{self._max_loaded_models} models are loaded already; unload one first.")
            await self._load_or_replace(directory, current)

    async def unload(self, name: str, version: str) -> None:
        """Take this version away: no new request gets it, those in progress end, its memory is freed.

        Raises:
            UnknownModel: it is not loaded.
            LastVersion: the default model would be left without one.
            NotReady: the service is starting, has failed or is draining.
        """
        async with self._changing:
            self._lifecycle.require_changeable()
            model = self._models.remove(name, version)
            self._lifecycle.set_model(name, version, "unloading", None)
        retiring = self._retire(model)
        # Or this frame would be what keeps it in memory.
        del model
        await asyncio.shield(retiring)

    async def watch(self, seconds: float) -> None:
        """Look at the models directory so often, and load what is new there, for ever; take nothing away.

        A directory is tried once it was the same twice in a row: whoever copies it has finished. One that is
        refused is tried again when it has changed.
        """
        seen = tried = await self._scan()
        while True:
            await asyncio.sleep(seconds)
            found = await self._scan()
            for place, signature in found.items():
                if signature == seen.get(place) and signature != tried.get(place):
                    tried = tried | {place: signature}
                    await self._load_found(*place)
            seen = found

    async def _scan(self) -> dict[tuple[str, str], Signature]:
        """What lies in the models directory; nothing where that cannot be told."""
        try:
            return await asyncio.to_thread(_signatures, self._models_dir)
        except OSError:
            # A directory that is just being removed, or a disk that does not answer.
            _log.warning("the models directory cannot be read", exc_info=True)
            return {}

    async def _load_found(self, name: str, version: str) -> None:
        try:
            await self.load(name, version)
        except (InferenceError, NotReady, OSError) as error:
            _log.warning("a model was not loaded", extra={"model": f"{name}/{version}", "error": str(error)})
        except Exception:  # noqa: BLE001 - logged, and nobody waits for it
            # Whatever somebody has put there, those that answer go on.
            _log.exception("a model was not loaded", extra={"model": f"{name}/{version}"})

    async def close(self) -> None:
        """End every batcher, also of models that are being unloaded."""
        for model in (*self._models.all(), *self._retiring.values()):
            await model.batcher.close()
        for task in tuple(self._retiring):
            task.cancel()
        self._loader.close()

    async def _load_or_replace(self, directory: Path, current: ReadyModel | None) -> None:
        """Load the model in `directory`, and let it take over from `current`, which ends with its requests."""
        name, version = directory.parent.name, directory.name
        if current is None:
            self._lifecycle.set_model(name, version, "loading", None)
        try:
            stored = await self._loader.read(directory)
            ready = None
            if current is None or current.stored.digest != stored.digest:
                ready = await self._loader.load(stored)
        except BaseException as error:
            why = str(error) if isinstance(error, InvalidModel | DecoderFailed) else "it was not loaded to the end"
            if current is None:
                self._lifecycle.set_model(name, version, "failed", why)
            else:
                self._lifecycle.set_model(name, version, "ready", f"The one on disk is refused: {why}")
            raise
        self._lifecycle.set_model(name, version, "ready", None)
        if ready is None:
            return
        self._models.add(ready)
        _log.info("model ready", extra={"model": f"{name}/{version}", "batch_sizes": ready.batch_sizes})
        if current is not None:
            self._retire(current)

    def _retire(self, model: ReadyModel) -> asyncio.Task[None]:
        task = asyncio.create_task(self._end(model))
        self._retiring[task] = model
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        # Cancelled, it did not come to its end.
        self._retiring.pop(task, None)
        # An engine's objects refer to each other; left to itself, Python would find them in minutes.
        gc.collect()

    async def _end(self, model: ReadyModel) -> None:
        await model.in_flight.wait_until_zero()
        await model.batcher.close()
        manifest = model.stored.manifest
        _log.info("model unloaded", extra={"model": f"{manifest.name}/{manifest.version}"})
        task = asyncio.current_task()
        assert task is not None
        del self._retiring[task]
        # It may have been replaced, or loaded again meanwhile; or one that it replaced has requests still, and is
        # the last to go.
        places = {(other.stored.manifest.name, other.stored.manifest.version) for other in self._retiring.values()}
        is_last = (manifest.name, manifest.version) not in places
        if is_last and self._models.find(manifest.name, manifest.version) is None:
            self._lifecycle.forget_model(manifest.name, manifest.version)
            self._metrics.forget_model(manifest.name, manifest.version)


def _latest_first(directories: list[Path], default: str) -> list[Path]:
    """The latest version of every model, the default one first, then the one before of every model, and so on."""
    age: dict[Path, int] = {}
    num_newer: dict[str, int] = {}
    for directory in reversed(directories):
        age[directory] = num_newer.get(directory.parent.name, 0)
        num_newer[directory.parent.name] = age[directory] + 1
    return sorted(directories, key=lambda directory: (age[directory], directory.parent.name != default))


def _models_on_disk(models_dir: Path) -> dict[tuple[str, str], Path]:
    with suppress(InvalidModel):
        return {(directory.parent.name, directory.name): directory for directory in find_models(models_dir)}
    return {}


def _signatures(models_dir: Path) -> dict[tuple[str, str], Signature]:
    return {place: _signature(directory) for place, directory in _models_on_disk(models_dir).items()}


def _signature(directory: Path) -> Signature:
    files = set()
    for path in directory.rglob("*"):
        # One that is just being moved is another signature, now or the next time.
        with suppress(OSError):
            found = path.stat()
            files.add((str(path), found.st_size, found.st_mtime_ns))
    return frozenset(files)
