"""The interface of a model engine. Knows no particular engine."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.inference.manifest import Manifest

EngineName = Literal["tensorflow", "openvino"]


class Engine(Protocol):
    """One loaded model that runs batches."""

    name: str
    max_difference: float
    """Largest allowed difference to the model's golden outputs when the pixels are the same; infinity for the engine
    that exported the model, where the manifest's tolerance alone applies."""

    @property
    def device(self) -> Literal["cpu", "gpu"]:
        """The device that runs the model."""

    def run(
        self, frames: NDArray[np.uint8], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run a batch: frames uint8 [B, T, H, W, 3], valid bool [B, T] -> probabilities [B, K], attention [B, T].

        Blocks. Allows `EngineRuntime.num_batch_threads` calls at a time.
        """


LoadEngine = Callable[[Path, Manifest], Engine]
"""Loads the model in a directory; takes seconds. Raises InvalidModel if the directory holds no SavedModel with the
signature that the manifest describes."""


@dataclass(frozen=True, slots=True)
class EngineRuntime:
    """An imported engine with its threads."""

    load: LoadEngine
    num_batch_threads: int
    """Number of concurrent calls, over all models, that keeps the engine's threads busy."""
