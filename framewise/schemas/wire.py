"""Base class of all schemas."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]


class Wire(BaseModel):
    """An immutable message that rejects unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
