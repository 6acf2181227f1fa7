"""The models on disk, `<name>/<version>/`, and those of them that are ready to answer."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from service.inference.batcher import Batcher
from service.inference.errors import LastVersion, UnknownModel
from service.inference.stored_model import StoredModel

LATEST = "latest"
"""What a caller may say for the version with the greatest number."""


class InFlightCount:
    """Counts who is still using a model."""

    def __init__(self) -> None:
        self._num = 0
        self._is_zero = asyncio.Event()
        self._is_zero.set()

    @contextmanager
    def track(self) -> Iterator[None]:
        """Be counted within the context."""
        self._num += 1
        self._is_zero.clear()
        try:
            yield
        finally:
            self._num -= 1
            if not self._num:
                self._is_zero.set()

    async def wait_until_zero(self) -> None:
        """Wait until nobody does."""
        await self._is_zero.wait()


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A model that answers through its batcher."""

    stored: StoredModel
    batcher: Batcher
    batch_sizes: tuple[int, ...]
    engine: str
    device: Literal["cpu", "gpu"]
    ready_at_unix_seconds: float
    sees_training_pixels: bool
    """Whether its golden clips decode here to the very pixels they had at export."""
    in_flight: InFlightCount = field(default_factory=InFlightCount)


class ModelRepository:
    """The ready models, by name and version."""

    def __init__(self, default_name: str) -> None:
        self._configured_default = default_name
        self._default_name: str | None = None
        self._models: dict[str, dict[str, ReadyModel]] = {}

    def select_default(self, names: Collection[str]) -> str:
        """Settle which of the models of these names answers when none is named, once for all; its name.

        Raises:
            UnknownModel: the configured default is not among them, nor is there a sole model instead.
        """
        if self._configured_default in names:
            self._default_name = self._configured_default
        elif len(names) == 1:
            self._default_name = next(iter(names))
        else:
            raise UnknownModel(f"There is no default model {self._configured_default!r}; there are {sorted(names)}.")
        return self._default_name

    @property
    def default_name(self) -> str | None:
        """Name of the model that answers when none is named; None before it was chosen."""
        return self._default_name

    def add(self, model: ReadyModel) -> None:
        """Let `model` answer from now on, in the place of any of its name and version."""
        manifest = model.stored.manifest
        self._models.setdefault(manifest.name, {})[manifest.version] = model

    def remove(self, name: str, version: str) -> ReadyModel:
        """The model, that nobody is given from now on.

        Raises:
            UnknownModel: there is none.
            LastVersion: without it the default model could not be asked.
        """
        model = self.get(name, version)
        manifest = model.stored.manifest
        versions = self._models[manifest.name]
        if manifest.name == self._default_name and len(versions) == 1:
            raise LastVersion(f"{manifest.name}/{manifest.version} is all there is of the default model.")
        del versions[manifest.version]
        if not versions:
            del self._models[manifest.name]
        return model

    @contextmanager
    def acquire(self, name: str | None = None, version: str | None = None) -> Iterator[ReadyModel]:
        """The model that `get` gives, which answers until the context is left, whatever is unloaded meanwhile."""
        model = self.get(name, version)
        with model.in_flight.track():
            yield model

    def all(self) -> list[ReadyModel]:
        """Every ready model, by name and ascending version."""
        return [
            versions[version] for _, versions in sorted(self._models.items()) for version in sorted(versions, key=int)
        ]

    def find(self, name: str, version: str) -> ReadyModel | None:
        """The model of exactly that name and version, if it is ready."""
        return self._models.get(name, {}).get(version)

    def get(self, name: str | None = None, version: str | None = None) -> ReadyModel:
        """The model asked for: the default one if no name is given; the latest if no version is, or `latest`.

        Raises:
            UnknownModel: there is none.
        """
        name = name if name is not None else self._default_name
        versions = self._models.get(name) if name is not None else None
        if name is None or versions is None:
            raise UnknownModel(f"There is no model {(name or '')[:64]!r}; there are {sorted(self._models)}.")
        wanted = version if version is not None and version != LATEST else max(versions, key=int)
        if wanted not in versions:
            raise UnknownModel(f"Model {name!r} has no version {wanted[:16]!r}; it has {sorted(versions, key=int)}.")
        return versions[wanted]
