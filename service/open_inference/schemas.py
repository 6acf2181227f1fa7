"""Messages of the Open Inference Protocol, version 2."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_MAX_TENSORS = 8
_MAX_ID_LENGTH = 1024


class _RequestPart(BaseModel):
    # Unknown fields are ignored: an error that lists a million of them takes longer than the prediction.
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class _ResponsePart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class InputTensor(_RequestPart):
    """One tensor of a request: `data` in JSON, or `binary_data_size` bytes after the JSON."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: Any = None


class WantedOutput(_RequestPart):
    """One output that the response should contain."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class InferenceRequest(_RequestPart):
    """The JSON of an inference request."""

    id: str | None = Field(default=None, max_length=_MAX_ID_LENGTH)
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[InputTensor] = Field(max_length=_MAX_TENSORS)
    outputs: list[WantedOutput] | None = Field(default=None, max_length=_MAX_TENSORS)


class TensorSpec(_ResponsePart):
    """Name, type and shape of a tensor; -1 stands for the batch size."""

    name: str
    datatype: str
    shape: list[int]


class ServerMetadata(_ResponsePart):
    """The response of `GET /v2`."""

    name: str
    version: str
    extensions: list[str]


class ModelReady(_ResponsePart):
    """The response of `GET /v2/models/{name}/ready`."""

    name: str
    ready: bool


class ModelMetadata(_ResponsePart):
    """The response of `GET /v2/models/{name}`."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class OutputTensor(_ResponsePart):
    """One tensor of a response: `data` in JSON, or `binary_data_size` bytes after the JSON."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[float] | None = None


class InferenceResponse(_ResponsePart):
    """The JSON of an inference response; `id` is that of the request."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]
