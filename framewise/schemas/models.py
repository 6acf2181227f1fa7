"""Schemas of models and of the health report."""

from typing import Any, Literal

from pydantic import Field

from framewise.schemas.wire import Wire


class ModelState(Wire):
    """State of one model."""

    name: str
    version: str
    state: Literal["loading", "ready", "unloading", "unloaded", "failed"]
    detail: str | None = None


class DegradedPart(Wire):
    """A part of the service that does not work, while predictions are served."""

    part: str = Field(description="The part, such as `jobs`.")
    reason: str = Field(description="The reason as a code, such as `unreachable`.")
    detail: str = Field(description="The reason as a sentence, with the remedy.")


class Health(Wire):
    """State of the service and of each model."""

    state: Literal["starting", "ready", "degraded", "draining", "failed"] = Field(
        description="`ready` and `degraded` serve predictions; `degraded` lists the parts that do not work."
    )
    detail: str | None = None
    models: list[ModelState]
    degraded: list[DegradedPart] = Field(
        default=[],
        exclude_if=lambda parts: not parts,
        description="The parts that do not work; absent if all work. They recover without a restart.",
    )


class ModelSummary(Wire):
    """A model that is ready for requests."""

    name: str
    version: str
    digest: str
    is_default: bool
    description: str
    labels: list[str]


class ModelList(Wire):
    """Response to `GET /models`."""

    models: list[ModelSummary]


class ModelDetail(ModelSummary):
    """A model with its manifest and model card."""

    manifest: dict[str, Any]
    card: dict[str, Any] | None = Field(
        default=None, description="Machine-readable model card: data, protocol, all metrics, and how to verify them."
    )
    batch_sizes: list[int]
    sees_training_pixels: bool = Field(
        description="Whether the model's golden clips decode on this machine to the same pixels, bit for bit, as at"
        " export."
    )
