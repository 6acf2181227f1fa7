"""What a service reports of its models, and of its health."""

from typing import Any, Literal

from pydantic import Field

from framewise.schemas.wire import Wire


class ModelState(Wire):
    """One model's state at start-up or since."""

    name: str
    version: str
    state: Literal["loading", "ready", "unloading", "unloaded", "failed"]
    detail: str | None = None


class Health(Wire):
    """The service's state and each model's."""

    state: Literal["starting", "ready", "draining", "failed"]
    detail: str | None = None
    models: list[ModelState]


class ModelSummary(Wire):
    """A model that may be asked."""

    name: str
    version: str
    digest: str
    is_default: bool
    description: str
    labels: list[str]


class ModelList(Wire):
    """The answer to `GET /models`."""

    models: list[ModelSummary]


class ModelDetail(ModelSummary):
    """Everything a model says of itself."""

    manifest: dict[str, Any]
    card: dict[str, Any] | None = Field(
        default=None, description="The model card for programs: data, protocol, every figure, and how to verify it."
    )
    batch_sizes: list[int]
    sees_training_pixels: bool = Field(
        description="Whether the model's golden clips decode here, bit for bit, to the pixels they had at export."
    )
