"""The service's state: starting -> ready -> draining, or failed. Being alive is not being ready."""

import asyncio
from typing import Literal

from framewise.schemas.models import Health, ModelState

State = Literal["starting", "ready", "draining", "failed"]


class NotReady(Exception):
    """The models are still loading, or one of them failed to."""


class Lifecycle:
    """Where the service is between its start and its end, and where each of its models is."""

    def __init__(self) -> None:
        self._state: State = "starting"
        self._detail: str | None = None
        self._models: dict[tuple[str, str], ModelState] = {}
        self._is_decided = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether predictions are answered."""
        return self._state == "ready"

    def require_ready(self) -> None:
        """Pass where models answer, also those of a service that is draining.

        Raises:
            NotReady: they do not.
        """
        if self._state in ("starting", "failed"):
            raise NotReady("The service is not ready: its models are loading, or one of them failed to load.")

    def require_changeable(self) -> None:
        """Pass where models may be loaded and unloaded.

        Raises:
            NotReady: the service is starting, has failed or is draining.
        """
        if self._state != "ready":
            raise NotReady(f"The service is {self._state}: no model is loaded or unloaded.")

    def set_model(
        self, name: str, version: str, state: Literal["loading", "ready", "unloading", "failed"], detail: str | None
    ) -> None:
        """Record the state of one model."""
        self._models[name, version] = ModelState(name=name, version=version, state=state, detail=detail)

    def model(self, name: str, version: str) -> ModelState | None:
        """The state of one model, if it has any."""
        return self._models.get((name, version))

    def forget_model(self, name: str, version: str) -> None:
        """One model is there no more."""
        del self._models[name, version]

    def become_ready(self) -> None:
        """Every model answers; a service told to drain meanwhile keeps draining."""
        if self._state == "starting":
            self._state = "ready"
        self._is_decided.set()

    def fail(self, detail: str) -> None:
        """A model must not be served, so nothing is."""
        self._state, self._detail = "failed", detail
        self._is_decided.set()

    async def wait_until_decided(self) -> None:
        """Return once the start has ended, well or not."""
        await self._is_decided.wait()

    def drain(self) -> None:
        """No new work from now on."""
        self._state = "draining"

    def health(self) -> Health:
        """The state as it is answered."""
        return Health(state=self._state, detail=self._detail, models=[*self._models.values()])
