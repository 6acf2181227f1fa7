"""The Open Inference Protocol, version 2, as data: request bodies to clips, answers to response bodies.

Knows the protocol's JSON and its binary tensor extension, and nothing of HTTP. Clips come as `frames`
UINT8 [B, T, H, W, 3] and, where some frames are padding, `valid` BOOL [B, T]; answers go as
`probabilities` FP32 [B, K] and `attention` FP32 [B, T].
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from service.inference.batcher import ClipAnswer
from service.inference.manifest import Manifest
from service.open_inference.errors import MalformedInference
from service.open_inference.schemas import InferenceRequest, ModelMetadata, TensorSpec, WantedOutput
from service.open_inference.tensors import read_tensors
from service.video.clip import ClipSpec

OUTPUTS = ("probabilities", "attention")


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How an answer is to be written: with the request's id, and which tensors, each as JSON or in binary."""

    id: str | None
    outputs: tuple[tuple[str, bool], ...]


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
    tensors = read_tensors(request.inputs, memoryview(body)[num_json_bytes:])
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
