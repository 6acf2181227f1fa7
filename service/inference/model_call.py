"""The types of a model call: its arguments, and the output of each clip."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Valid = NDArray[np.bool_]

RunBatch = Callable[[Frames, Valid], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Runs the model: frames uint8 [B, T, H, W, 3], valid bool [B, T] -> probabilities float32 [B, K], attention
float32 [B, T]. The batcher calls it in threads of an executor; B is one of the allowed batch sizes."""


@dataclass(frozen=True, slots=True)
class ClipOutput:
    """The model's output for one clip: probabilities float32 [K], attention float32 [T]."""

    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]
    queue_seconds: float
    model_seconds: float
    batch_size: int
