"""State of the service (starting -> ready -> draining, or failed), of each model, and of the parts that do not work."""

import asyncio
import logging
from typing import Literal

from framewise.schemas.models import DegradedPart, Health, ModelState

_log = logging.getLogger(__name__)

State = Literal["starting", "ready", "draining", "failed"]


class NotReady(Exception):
    """Models are still loading, or one of them failed to load."""


class Lifecycle:
    """The current state of the service and of its models, as /health reports it."""

    def __init__(self) -> None:
        self._state: State = "starting"
        self._detail: str | None = None
        self._models: dict[tuple[str, str], ModelState] = {}
        self._degraded: dict[str, DegradedPart] = {}
        self._blocking: set[str] = set()
        self._is_decided = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether the service answers predictions."""
        return self._state == "ready" and not self._blocking

    def require_ready(self) -> None:
        """Check that the models are loaded; true for a draining service, too.

        Raises:
            NotReady: the service is starting or has failed.
        """
        if self._state in ("starting", "failed"):
            reason = "its models are loading" if self._state == "starting" else "its start failed"
            raise NotReady(f"The service is not ready: {reason}. See GET /health.")

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

    def degrade(self, part: str, reason: str, detail: str) -> None:
        """Report that a part of the service does not work; predictions go on."""
        previous = self._degraded.get(part)
        self._degraded[part] = DegradedPart(part=part, reason=reason, detail=detail)
        if previous is None or previous.reason != reason:
            _log.warning("degraded", extra={"part": part, "reason": reason, "detail": detail})

    def block(self, part: str, reason: str, detail: str) -> None:
        """Report that a part does not work without which no video can be received; the service is not ready.

        Requests that do not need the part are answered.
        """
        self._blocking.add(part)
        self.degrade(part, reason, detail)

    def recover(self, part: str) -> None:
        """Report that a part of the service works."""
        self._blocking.discard(part)
        if self._degraded.pop(part, None) is not None:
            _log.info("recovered", extra={"part": part})

    @property
    def degraded_parts(self) -> list[DegradedPart]:
        """The parts that do not work."""
        return [*self._degraded.values()]

    def become_ready(self) -> None:
        """Report that predictions are served, after a failed attempt too; a draining service keeps draining."""
        if self._state in ("starting", "failed"):
            self._state, self._detail = "ready", None
        self._is_decided.set()

    def fail(self, detail: str) -> None:
        """Report that the start failed, with the reason; a draining service keeps draining."""
        if self._state != "draining":
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
        degraded = self.degraded_parts
        state: Literal[State, "degraded"] = self._state
        if state == "ready" and degraded:
            state = "failed" if self._blocking else "degraded"
        return Health(
            state=state,
            detail=self._detail or " ".join(f"{part.part}: {part.detail}" for part in degraded) or None,
            models=[*self._models.values()],
            degraded=degraded,
        )
