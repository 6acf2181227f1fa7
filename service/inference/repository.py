"""The models that are ready to run, by name and version."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from service.inference.batcher import Batcher
from service.inference.errors import LastVersion, UnknownModel
from service.inference.stored_model import StoredModel

LATEST = "latest"
"""The version name that selects the highest version number."""


class InFlightCount:
    """Counts the requests that use a model."""

    def __init__(self) -> None:
        self._count = 0
        self._is_zero = asyncio.Event()
        self._is_zero.set()

    @contextmanager
    def track(self) -> Iterator[None]:
        """Count one request until the `with` block ends."""
        self._count += 1
        self._is_zero.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._is_zero.set()

    async def wait_until_zero(self) -> None:
        """Wait until no request uses the model."""
        await self._is_zero.wait()


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A loaded model with its batcher."""

    stored: StoredModel
    batcher: Batcher
    batch_sizes: tuple[int, ...]
    engine: str
    device: Literal["cpu", "gpu"]
    ready_at_unix_seconds: float
    sees_training_pixels: bool
    """Whether this machine decodes the golden clips to exactly the pixels they had at export."""
    in_flight: InFlightCount = field(default_factory=InFlightCount)


class ModelRepository:
    """The ready models, by name and version."""

    def __init__(self, default_name: str) -> None:
        self._configured_default = default_name
        self._default_name: str | None = None
        self._models: dict[str, dict[str, ReadyModel]] = {}

    def select_default(self, names: Collection[str]) -> str:
        """Select the default model among `names`: the configured one, or the only one; returns its name.

        Raises:
            UnknownModel: the configured default is missing, and there are several other models or none.
        """
        if self._configured_default in names:
            self._default_name = self._configured_default
        elif len(names) == 1:
            self._default_name = next(iter(names))
        else:
            raise UnknownModel(
                f"There is no default model {self._configured_default!r}; there are {sorted(names)}. "
                "Name one of them in SERVICE_DEFAULT_MODEL."
            )
        return self._default_name

    @property
    def default_name(self) -> str | None:
        """Name of the model for requests that name none; None until it is selected."""
        return self._default_name

    def add(self, model: ReadyModel) -> None:
        """Make `model` available to new requests; it replaces a model of the same name and version."""
        manifest = model.stored.manifest
        self._models.setdefault(manifest.name, {})[manifest.version] = model

    def remove(self, name: str, version: str) -> ReadyModel:
        """Withdraw a model from new requests, and return it.

        Raises:
            UnknownModel: the model is not loaded.
            LastVersion: it is the default model's only version.
        """
        model = self.get(name, version)
        manifest = model.stored.manifest
        versions = self._models[manifest.name]
        if manifest.name == self._default_name and len(versions) == 1:
            raise LastVersion(
                f"{manifest.name}/{manifest.version} is the only loaded version of the default model. "
                "Load another version first."
            )
        del versions[manifest.version]
        if not versions:
            del self._models[manifest.name]
        return model

    @contextmanager
    def acquire(self, name: str | None = None, version: str | None = None) -> Iterator[ReadyModel]:
        """The model that `get` returns, kept loaded until the `with` block ends, even if it is unloaded meanwhile."""
        model = self.get(name, version)
        with model.in_flight.track():
            yield model

    def all(self) -> list[ReadyModel]:
        """Every ready model, by name and ascending version."""
        return [
            versions[version] for _, versions in sorted(self._models.items()) for version in sorted(versions, key=int)
        ]

    def find(self, name: str, version: str) -> ReadyModel | None:
        """The ready model of exactly this name and version, or None."""
        return self._models.get(name, {}).get(version)

    def get(self, name: str | None = None, version: str | None = None) -> ReadyModel:
        """The ready model for a request: without a name the default model, without a version the latest.

        Raises:
            UnknownModel: no ready model has this name and version.
        """
        name = name if name is not None else self._default_name
        versions = self._models.get(name) if name is not None else None
        if name is None or versions is None:
            raise UnknownModel(f"There is no model {(name or '')[:64]!r}; there are {sorted(self._models)}.")
        wanted = version if version is not None and version != LATEST else max(versions, key=int)
        if wanted not in versions:
            raise UnknownModel(f"Model {name!r} has no version {wanted[:16]!r}; it has {sorted(versions, key=int)}.")
        return versions[wanted]
