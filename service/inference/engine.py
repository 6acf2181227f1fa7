"""What a model engine is to the service, and the proof of its batch sizes. Knows no engine itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.inference.batcher import Run
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


def proved_batch_sizes(run: Run, clip_shape: tuple[int, int, int, int], batch_sizes: Sequence[int]) -> list[int]:
    """Run every batch size once; the sizes that answer, bit for bit, as one clip alone does.

    Kernels may sum in another order for another size, or for another place in the batch. A size for which
    they do on this machine is not used, so that an answer never depends on who else was asking. Two clips
    prove it, one whole and one padded: they take turns in the places of each batch, so that every place is
    compared with the same clip alone, and has a neighbour that is another. More clips would only repeat the
    same sums over other numbers. Warms the engine up as well: each size has been called once.
    """
    num_frames = clip_shape[0]
    two = np.random.default_rng(0).integers(0, 256, (2, *clip_shape), dtype=np.uint8)
    valid = np.ones((2, num_frames), dtype=np.bool_)
    valid[1, max(1, num_frames // 2) :] = False
    alone = [np.concatenate(run(two[place : place + 1], valid[place : place + 1]), axis=1) for place in range(2)]
    kept = [1]
    for size in sorted(set(batch_sizes) - {1}):
        places = np.arange(size) % 2
        together = np.concatenate(run(two[places], valid[places]), axis=1)
        if np.array_equal(together, np.concatenate([alone[place] for place in places])):
            kept.append(size)
    return kept
