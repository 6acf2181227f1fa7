"""Messages of the Open Inference Protocol, version 2."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_MAX_TENSORS = 8


_MAX_ID_LENGTH = 1024


class _Asked(BaseModel):
    # Unknown fields are passed over: to list a million of them would take longer than to answer.
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class InputTensor(_Asked):
    """One tensor of a request: its `data` here, or `binary_data_size` bytes of it after the JSON."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: Any = None


class WantedOutput(_Asked):
    """One tensor that the answer is to hold."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class InferenceRequest(_Asked):
    """The JSON of a request."""

    id: str | None = Field(default=None, max_length=_MAX_ID_LENGTH)
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[InputTensor] = Field(max_length=_MAX_TENSORS)
    outputs: list[WantedOutput] | None = Field(default=None, max_length=_MAX_TENSORS)


class TensorSpec(_Part):
    """Name, type and shape of a tensor; -1 is the batch."""

    name: str
    datatype: str
    shape: list[int]


class ServerMetadata(_Part):
    """The answer to `GET /v2`."""

    name: str
    version: str
    extensions: list[str]


class ModelReady(_Part):
    """The answer to `GET /v2/models/{name}/ready`."""

    name: str
    ready: bool


class ModelMetadata(_Part):
    """The answer to `GET /v2/models/{name}`."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class OutputTensor(_Part):
    """One tensor of an answer: its `data` here, or `binary_data_size` bytes of it after the JSON."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[float] | None = None


class InferenceResponse(_Part):
    """The JSON of an answer; `id` is the request's."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]
