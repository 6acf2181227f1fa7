"""The Open Inference Protocol, version 2: parses request bodies into clips, writes response bodies.

Knows the protocol's JSON and its binary tensor extension, but not HTTP. Inputs are `frames` UINT8 [B, T, H, W, 3]
and, if some frames are padding, `valid` BOOL [B, T]. Outputs are `probabilities` FP32 [B, K] and `attention`
FP32 [B, T].
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from service.inference.manifest import Manifest
from service.inference.model_call import ClipOutput
from service.open_inference.errors import MalformedInference
from service.open_inference.schemas import InferenceRequest, ModelMetadata, TensorSpec, WantedOutput
from service.open_inference.tensors import read_tensors
from service.video.clip import ClipSpec

INPUTS = ("frames", "valid")
OUTPUTS = ("probabilities", "attention")


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The request id to echo, and the outputs to return: name, and whether as binary data."""

    id: str | None
    outputs: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A valid request: frames uint8 [B, T, H, W, 3], valid bool [B, T], B >= 1, each clip with a valid frame."""

    response_format: ResponseFormat
    frames: NDArray[np.uint8]
    valid: NDArray[np.bool_]


def model_metadata(manifest: Manifest, versions: list[str]) -> ModelMetadata:
    """The inputs and outputs of a model, as the protocol describes them."""
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


def parse_request(body: bytes, num_json_bytes: int | None, spec: ClipSpec) -> ParsedRequest:
    """Parse a request body whose first `num_json_bytes` are JSON; None means that all of them are.

    Raises:
        MalformedInference: the body is not a valid request, or its clips do not fit `spec`.
    """
    num_json_bytes = len(body) if num_json_bytes is None else num_json_bytes
    if num_json_bytes > len(body):
        raise MalformedInference(
            f"The body has {len(body)} bytes; it is shorter than the {num_json_bytes} bytes of JSON that it announces."
        )
    request = _checked_json(body[:num_json_bytes])
    wanted = [output.name for output in request.outputs or ()]
    if len(set(wanted)) != len(wanted):
        raise MalformedInference("The request lists an output twice.")
    tensors = read_tensors(request.inputs, memoryview(body)[num_json_bytes:])
    _check_names("input", tensors, INPUTS)
    _check_names("output", wanted, OUTPUTS)
    frames = _checked_frames(tensors.get("frames"), spec)
    valid = _checked_valid(tensors.get("valid"), frames.shape[:2])
    return ParsedRequest(_response_format(request), frames, valid)


def write_response(
    request: ParsedRequest, manifest: Manifest, clip_outputs: Sequence[ClipOutput]
) -> tuple[bytes, int | None]:
    """The response body, and how many of its bytes are JSON; None if all of them are."""
    tensors = {
        "probabilities": np.stack([output.probabilities for output in clip_outputs]),
        "attention": np.stack([output.attention for output in clip_outputs]),
    }
    outputs: list[dict[str, object]] = []
    binary: list[bytes] = []
    for name, is_binary in request.response_format.outputs:
        tensor = tensors[name]
        entry: dict[str, object] = {"name": name, "datatype": "FP32", "shape": list(tensor.shape)}
        if is_binary:
            binary.append(tensor.astype("<f4").tobytes())
            entry["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            entry["data"] = [float(value) for value in tensor.ravel()]
        outputs.append(entry)
    response: dict[str, object] = {"model_name": manifest.name, "model_version": manifest.version, "outputs": outputs}
    if request.response_format.id is not None:
        response["id"] = request.response_format.id
    text = json.dumps(response).encode()
    return b"".join([text, *binary]), len(text) if binary else None


def _checked_json(text: bytes) -> InferenceRequest:
    try:
        return InferenceRequest.model_validate(json.loads(text))
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part)[:64] for part in fault["loc"])
        raise MalformedInference(f"{where}: {fault['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise MalformedInference("The body is not JSON.") from error


def _check_names(kind: str, names: Iterable[str], known: tuple[str, ...]) -> None:
    if unknown := set(names) - set(known):
        raise MalformedInference(f"The model has no {kind} {min(unknown)[:64]!r}; it has {' and '.join(known)}.")


def _checked_frames(frames: NDArray[Any] | None, spec: ClipSpec) -> NDArray[np.uint8]:
    clip_shape = (spec.num_frames, spec.height, spec.width, 3)
    if frames is None or frames.dtype != np.uint8 or frames.shape[1:] != clip_shape or not len(frames):
        raise MalformedInference(f"frames must be UINT8 of the shape [B, {', '.join(map(str, clip_shape))}], B >= 1.")
    return frames


def _checked_valid(valid: NDArray[Any] | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if valid is None:
        return np.ones(shape, dtype=np.bool_)
    if valid.dtype != np.bool_ or valid.shape != shape:
        raise MalformedInference(f"valid must be BOOL of the shape {list(shape)}.")
    if not valid.any(axis=1).all():
        raise MalformedInference("Each clip must hold at least one valid frame.")
    return valid


def _response_format(request: InferenceRequest) -> ResponseFormat:
    wanted = [WantedOutput(name=name) for name in OUTPUTS] if request.outputs is None else request.outputs
    is_binary = request.parameters.get("binary_data_output", False)
    return ResponseFormat(
        request.id,
        tuple((output.name, output.parameters.get("binary_data", is_binary) is True) for output in wanted),
    )
