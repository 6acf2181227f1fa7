"""Runs SavedModels with OpenVINO, in less processor time. The only module that imports OpenVINO."""

import sys
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.inference.errors import InvalidModel
from service.inference.manifest import Manifest

# While it is imported, OpenVINO sends usage data, from a fork of this process and its threads, which stays as a zombie.
# It does neither where its telemetry package cannot be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

_SETTINGS = {
    # Without it some processors compute in 16 bits, and outputs differ from those of the export.
    "INFERENCE_PRECISION_HINT": "f32",
    # One call at a time, with all threads. Streams (several calls with one thread each) gave the same throughput and
    # twice the latency of a single clip: docs/decisions/0002.
    "PERFORMANCE_HINT": "LATENCY",
    # The decode workers use the same cores; a thread pinned to one core would wait for them.
    "ENABLE_CPU_PINNING": False,
}


class OpenVinoEngine:
    """One compiled model that accepts any batch size."""

    name = "openvino"
    max_difference = 1e-4
    device: Literal["cpu"] = "cpu"

    def __init__(self, directory: Path, manifest: Manifest, *, num_threads: int) -> None:
        """Load and compile the model in `directory`; takes seconds.

        Raises:
            InvalidModel: the directory holds no SavedModel, or its signature is not the expected one.
        """
        core = openvino.Core()
        # Weights are read, not memory-mapped: truncating a mapped file would kill the process.
        core.set_property({"ENABLE_MMAP": False})
        try:
            model = core.read_model(str(directory))
            inputs = {name: port for port in model.inputs for name in port.names}
            outputs = {name for port in model.outputs for name in port.names}
        except RuntimeError as error:
            raise InvalidModel(f"{directory}: not a SavedModel that OpenVINO can load: {error}") from error
        clip = manifest.clip
        found = {
            name: (port.element_type.get_type_name(), port.partial_shape.to_string()) for name, port in inputs.items()
        }
        expected = {
            "frames": ("u8", f"[?,{clip.num_frames},{clip.height},{clip.width},3]"),
            "valid": ("boolean", f"[?,{clip.num_frames}]"),
        }
        if found != expected or not outputs >= {"probabilities", "attention"}:
            raise InvalidModel(f"{directory}: the inputs are {found}, expected {expected}; the outputs are {outputs}")
        self._request = core.compile_model(
            model, "CPU", _SETTINGS | {"INFERENCE_NUM_THREADS": num_threads}
        ).create_infer_request()

    def run(
        self, frames: NDArray[np.uint8], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run a batch: frames uint8 [B, T, H, W, 3], valid bool [B, T] -> [B, K], [B, T]. Blocks."""
        outputs = self._request.infer({"frames": frames, "valid": valid})
        return outputs["probabilities"], outputs["attention"]
