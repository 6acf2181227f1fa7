"""The base of all parts of a training config."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator


class ConfigPart(BaseModel):
    """A part of a config: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    former_names: ClassVar[Mapping[str, str]] = {}
    """Former field names that are still accepted, with the present names."""

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        # `model_copy` may add a former name beside the present one: the added value is the newer of the two.
        former = {cls.former_names[name]: value for name, value in given.items() if name in cls.former_names}
        return {name: value for name, value in given.items() if name not in cls.former_names} | former
