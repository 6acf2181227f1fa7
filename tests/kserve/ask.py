"""Sends requests with KServe's client and prints the responses as JSON. Runs in an environment of its own.

usage: ask.py URL MODEL SHAPE, where SHAPE is a JSON list
"""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def request(model: str, frames: np.ndarray, *, is_binary: bool) -> InferRequest:
    """An inference request for these clips, as JSON or with binary tensor data both ways."""
    tensor = InferInput("frames", list(frames.shape), "UINT8")
    tensor.set_data_from_numpy(frames, binary_data=is_binary)
    outputs = [RequestedOutput(name, {"binary_data": True}) for name in ("probabilities", "attention")]
    return InferRequest(
        model_name=model, request_id="kserve", infer_inputs=[tensor], request_outputs=outputs if is_binary else None
    )


async def ask(url: str, model: str, shape: list[int]) -> dict[str, object]:
    """Every request that the client supports."""
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0, timeout=60))
    frames = np.full(shape, 51, dtype=np.uint8)
    answers = {}
    for kind in ("json", "binary"):
        answer = await client.infer(url, request(model, frames, is_binary=kind == "binary"), model_name=model)
        answers[kind] = {
            "id": answer.id,
            "model": answer.model_name,
            **{output.name: output.as_numpy().tolist() for output in answer.outputs},
        }
    return {
        "is_server_live": await client.is_server_live(url),
        "is_server_ready": await client.is_server_ready(url),
        "is_model_ready": await client.is_model_ready(url, model),
        "is_unknown_model_ready": await client.is_model_ready(url, "nope"),
        **answers,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(ask(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))))
