"""Magnitude pruning: sets the smallest parameters of every kernel to 0. Stateless, so a run can resume at any step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

_RAMP_FRACTION = 0.5
_KERNEL_AXES = 2


def pruned_fraction_at(step: int, num_steps: int, final_fraction: float) -> float:
    """The fraction to prune after `step` 0..num_steps-1: a cubic ramp over the first half, then constant."""
    progress = min(1.0, (step + 1) / (_RAMP_FRACTION * num_steps))
    return float(final_fraction * (1 - (1 - progress) ** 3))


def kernels_of(variables: Sequence[Any]) -> list[Any]:
    """The kernels among `variables`; biases, scales and random states are left out."""
    return [variable for variable in variables if len(variable.shape) >= _KERNEL_AXES]


def pruned(kernel: Any, fraction: Any) -> Any:
    """`kernel` with the given fraction of its parameters, the smallest, set to 0; `fraction` may be a tensor."""
    sizes = ops.abs(kernel)
    count = ops.cast(ops.floor(fraction * float(np.prod(kernel.shape))), "int32")
    ordered = ops.sort(ops.reshape(sizes, (-1,)))
    threshold = ops.where(count > 0, ops.take(ordered, ops.maximum(count - 1, 0)), -1.0)
    return ops.where(sizes > threshold, kernel, ops.zeros_like(kernel))


def sparsity_of(variables: Sequence[Any]) -> float:
    """The fraction of the kernels' parameters that are 0."""
    arrays = [kernel.value.numpy() for kernel in kernels_of(variables)]
    total: int = sum(array.size for array in arrays)
    num_zeros = sum(int(np.count_nonzero(array == 0)) for array in arrays)
    return round(num_zeros / max(total, 1), 6)
