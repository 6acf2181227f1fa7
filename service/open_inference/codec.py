"""The Open Inference Protocol, version 2, as data: request bodies to clips, answers to response bodies.

Knows the protocol's JSON and its binary tensor extension, and nothing of HTTP. Clips come as `frames`
UINT8 [B, T, H, W, 3] and, where some frames are padding, `valid` BOOL [B, T]; answers go as
`probabilities` FP32 [B, K] and `attention` FP32 [B, T].
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.inference.batcher import ClipAnswer
from service.inference.manifest import Manifest
from service.video.clip import ClipSpec

OUTPUTS = ("probabilities", "attention")
_MAX_TENSORS = 8
_MAX_AXES = 8
_MAX_ID_LENGTH = 1024
_DTYPES: dict[str, type[np.uint8 | np.bool_]] = {"UINT8": np.uint8, "BOOL": np.bool_}


class MalformedInference(Exception):
    """The body is not an inference request that this model can be asked; `str(error)` says why."""


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


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How an answer is to be written: with the request's id, and which tensors, each as JSON or in binary."""

    id: str | None
    outputs: tuple[tuple[str, bool], ...]


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


@dataclass(frozen=True, slots=True)
class Question:
    """A request, read: frames uint8 [B, T, H, W, 3], valid bool [B, T], B >= 1, a valid frame in each clip."""

    form: AnswerForm
    frames: NDArray[np.uint8]
    valid: NDArray[np.bool_]


def model_metadata(manifest: Manifest, versions: list[str]) -> ModelMetadata:
    """What the model takes and gives."""
    clip = manifest.clip
    return ModelMetadata(
        name=manifest.name,
        versions=versions,
        platform="tensorflow_savedmodel",
        inputs=[
            TensorSpec(name="frames", datatype="UINT8", shape=[-1, clip.num_frames, clip.height, clip.width, 3]),
            TensorSpec(name="valid", datatype="BOOL", shape=[-1, clip.num_frames]),
        ],
        outputs=[
            TensorSpec(name="probabilities", datatype="FP32", shape=[-1, len(manifest.labels)]),
            TensorSpec(name="attention", datatype="FP32", shape=[-1, clip.num_frames]),
        ],
    )


def read_question(body: bytes, num_json_bytes: int | None, spec: ClipSpec) -> Question:
    """The request in `body`, whose first `num_json_bytes` are JSON: all of them, if None.

    Raises:
        MalformedInference: it is none, or its tensors are not those of `spec`.
    """
    num_json_bytes = len(body) if num_json_bytes is None else num_json_bytes
    if num_json_bytes > len(body):
        raise MalformedInference("The body is shorter than its inference header.")
    try:
        request = InferenceRequest.model_validate(json.loads(body[:num_json_bytes]))
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part)[:64] for part in fault["loc"])
        raise MalformedInference(f"{where}: {fault['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise MalformedInference("The body is not JSON.") from error
    names = [output.name for output in request.outputs or ()]
    if len(set(names)) != len(names):
        raise MalformedInference("An output is asked for twice.")
    tensors = _read_tensors(request.inputs, memoryview(body)[num_json_bytes:])
    if unknown := tensors.keys() - {"frames", "valid"}:
        raise MalformedInference(f"There is no input {min(unknown)[:64]!r}; there are frames and valid.")
    if unknown := {output.name for output in request.outputs or ()} - set(OUTPUTS):
        raise MalformedInference(f"There is no output {min(unknown)[:64]!r}; there are {' and '.join(OUTPUTS)}.")
    frames = tensors.get("frames")
    clip_shape = (spec.num_frames, spec.height, spec.width, 3)
    if frames is None or frames.dtype != np.uint8 or frames.shape[1:] != clip_shape or not len(frames):
        raise MalformedInference(f"frames must be UINT8 of the shape [B, {', '.join(map(str, clip_shape))}].")
    valid = tensors.get("valid", np.ones(frames.shape[:2], dtype=np.bool_))
    if valid.dtype != np.bool_ or valid.shape != frames.shape[:2]:
        raise MalformedInference(f"valid must be BOOL of the shape {list(frames.shape[:2])}.")
    if not valid.any(axis=1).all():
        raise MalformedInference("Each clip must hold at least one valid frame.")
    return Question(_answer_form(request), frames, valid)


def write_answer(question: Question, manifest: Manifest, answers: Sequence[ClipAnswer]) -> tuple[bytes, int | None]:
    """The response's body, and how many of its bytes are JSON where others follow."""
    tensors = {
        "probabilities": np.stack([answer.probabilities for answer in answers]),
        "attention": np.stack([answer.attention for answer in answers]),
    }
    outputs: list[dict[str, object]] = []
    binary: list[bytes] = []
    for name, is_binary in question.form.outputs:
        tensor = tensors[name]
        entry: dict[str, object] = {"name": name, "datatype": "FP32", "shape": list(tensor.shape)}
        if is_binary:
            binary.append(tensor.astype("<f4").tobytes())
            entry["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            entry["data"] = [float(value) for value in tensor.ravel()]
        outputs.append(entry)
    answer: dict[str, object] = {"model_name": manifest.name, "model_version": manifest.version, "outputs": outputs}
    if question.form.id is not None:
        answer["id"] = question.form.id
    text = json.dumps(answer).encode()
    return b"".join([text, *binary]), len(text) if binary else None


def _answer_form(request: InferenceRequest) -> AnswerForm:
    wanted = [WantedOutput(name=name) for name in OUTPUTS] if request.outputs is None else request.outputs
    is_binary = request.parameters.get("binary_data_output", False)
    return AnswerForm(
        request.id,
        tuple((output.name, output.parameters.get("binary_data", is_binary) is True) for output in wanted),
    )


def _read_tensors(inputs: list[InputTensor], binary: memoryview) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    for tensor in inputs:
        if tensor.name in tensors:
            raise MalformedInference(f"The input {tensor.name[:64]!r} is given twice.")
        if tensor.datatype not in _DTYPES:
            raise MalformedInference(f"The datatype {tensor.datatype[:64]!r} is not one of {', '.join(_DTYPES)}.")
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            tensors[tensor.name] = _from_json(tensor)
            continue
        if type(size) is not int or not 0 <= size <= len(binary) or tensor.data is not None:
            raise MalformedInference(f"The binary data of {tensor.name[:64]!r} is not there.")
        # A byte that is neither 0 nor 1 is no BOOL, but true enough.
        values: NDArray[Any] = np.frombuffer(binary[:size], dtype=np.uint8).astype(_DTYPES[tensor.datatype])
        tensors[tensor.name] = _shaped(tensor, values)
        binary = binary[size:]
    if len(binary):
        raise MalformedInference("Bytes follow that belong to no tensor.")
    return tensors


def _from_json(tensor: InputTensor) -> NDArray[Any]:
    wanted = _DTYPES[tensor.datatype]
    flat = tensor.data if type(tensor.data) is list else [tensor.data]
    while flat and type(flat[0]) is list:
        if {len(row) if type(row) is list else -1 for row in flat} != {len(flat[0])}:
            raise MalformedInference(f"The data of {tensor.name[:64]!r} is no tensor.")
        flat = [value for row in flat for value in row]
    # Types are looked at before numpy sees the data: it gives each of a list of strings the room of the longest.
    if set(map(type, flat)) != {bool if wanted is np.bool_ else int}:
        raise MalformedInference(f"The data of {tensor.name[:64]!r} is not all {tensor.datatype}.")
    if wanted is np.uint8 and not (min(flat) >= 0 and max(flat) <= np.iinfo(np.uint8).max):
        raise MalformedInference(f"The data of {tensor.name[:64]!r} is not all {tensor.datatype}.")
    return _shaped(tensor, np.array(flat, dtype=wanted))


def _shaped(tensor: InputTensor, values: NDArray[Any]) -> NDArray[Any]:
    shape = tensor.shape
    # Checked before multiplied: numpy takes neither any number of axes nor any length of one.
    if len(shape) > _MAX_AXES or min(shape, default=0) < 0 or math.prod(shape) != values.size:
        raise MalformedInference(f"The data of {tensor.name[:64]!r} is not of the shape it claims.")
    return values.reshape(shape)
