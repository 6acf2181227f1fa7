"""What a model engine is to the service, and the proof of its batch sizes. Knows no engine itself."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.inference.manifest import Manifest

EngineName = Literal["tensorflow", "openvino"]


class Engine(Protocol):
    """One loaded model that answers batches."""

    name: str
    largest_difference: float
    """By how much its answers to the same pixels may differ from those of the model's export; inf: as the manifest
    says, for what computed the export."""

    @property
    def device(self) -> Literal["cpu", "gpu"]:
        """Where the model runs."""

    def run(
        self, frames: NDArray[np.uint8], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Answer a batch: frames uint8 [B, T, H, W, 3], valid bool [B, T] -> [B, K], [B, T].

        Blocks. As many calls at a time as the runtime says.
        """


LoadEngine = Callable[[Path, Manifest], Engine]
"""The model in a directory, loaded; takes seconds. Raises InvalidModel for what is no SavedModel of the
signature that the manifest asks for."""


@dataclass(frozen=True, slots=True)
class EngineRuntime:
    """An engine that is imported and has its threads."""

    load: LoadEngine
    concurrent_calls: int
    """How many calls at a time, of all its models together, keep its threads busy; more only contend."""
