"""State of the service: starting -> ready -> draining, or failed; and the state of each model."""

import asyncio
from typing import Literal

from framewise.schemas.models import Health, ModelState

State = Literal["starting", "ready", "draining", "failed"]


class NotReady(Exception):
    """Models are still loading, or one of them failed to load."""


class Lifecycle:
    """The current state of the service and of its models, as /health reports it."""

    def __init__(self) -> None:
        self._state: State = "starting"
        self._detail: str | None = None
        self._models: dict[tuple[str, str], ModelState] = {}
        self._is_decided = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether the service answers predictions."""
        return self._state == "ready"

    def require_ready(self) -> None:
        """Check that the models are loaded; true for a draining service, too.

        Raises:
            NotReady: the service is starting or has failed.
        """
        if self._state in ("starting", "failed"):
            raise NotReady("The service is not ready: models are loading or failed to load. See GET /health.")

    def require_changeable(self) -> None:
        """Check that models may be loaded and unloaded.

        Raises:
            NotReady: the service is starting, has failed or is draining.
        """
        if self._state != "ready":
            raise NotReady(f"The service is {self._state}; models can be loaded and unloaded only while it is ready.")

    def set_model(
        self, name: str, version: str, state: Literal["loading", "ready", "unloading", "failed"], detail: str | None
    ) -> None:
        """Set the state of one model."""
        self._models[name, version] = ModelState(name=name, version=version, state=state, detail=detail)

    def model(self, name: str, version: str) -> ModelState | None:
        """Return the state of one model, or None if it is unknown."""
        return self._models.get((name, version))

    def forget_model(self, name: str, version: str) -> None:
        """Remove the state of a model that was unloaded."""
        del self._models[name, version]

    def become_ready(self) -> None:
        """Report that every model is loaded; a draining service keeps draining."""
        if self._state == "starting":
            self._state = "ready"
        self._is_decided.set()

    def fail(self, detail: str) -> None:
        """Report that the start failed, with the reason."""
        self._state, self._detail = "failed", detail
        self._is_decided.set()

    async def wait_until_decided(self) -> None:
        """Wait until the service is ready or has failed."""
        await self._is_decided.wait()

    def drain(self) -> None:
        """Report that the service is shutting down."""
        self._state = "draining"

    def health(self) -> Health:
        """Return the response of /health."""
        return Health(state=self._state, detail=self._detail, models=[*self._models.values()])
