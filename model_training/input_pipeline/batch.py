"""The batch of a training step, and the interface of the datasets that yield batches."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Batch:
    """The arrays of one training step.

    `inputs`: frames uint8 [B,T,H,W,3], or stored features float32 [B,S,F], or stored maps float16 [B,T,h,w,c].
    `valid`, `is_in_event`: bool [B,T].
    `targets`: float32 [B,K], 1 for each label of a clip, else 0; fractions after mixup.
    `distillation_targets`: the teacher's features of each clip, float32 [B,D]; D = 0 without a teacher.
    """

    inputs: NDArray[Any]
    valid: NDArray[np.bool_]
    targets: NDArray[np.float32]
    is_in_event: NDArray[np.bool_]
    distillation_targets: NDArray[np.float32]

    def select(self, indices: NDArray[np.int64]) -> "Batch":
        """The clips at `indices`, in that order."""
        return Batch(*(getattr(self, name)[indices] for name in ARRAYS))


ARRAYS = tuple(field.name for field in fields(Batch))


class BatchDataset(Protocol):
    """Yields the batches of an epoch; `epoch` None means without augmentation, in the clips' own order."""

    def batches(self, epoch: int | None, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the epoch's batches from `first_step` on; the last one may be smaller."""
        ...


def num_steps(num_clips: int, batch_size: int) -> int:
    """Steps in an epoch, the last batch possibly smaller."""
    return -(-num_clips // batch_size)
