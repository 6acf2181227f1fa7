"""Verifies which batch sizes leave a clip's output unchanged."""

from collections.abc import Sequence

import numpy as np

from service.inference.model_call import RunBatch


def verified_batch_sizes(run: RunBatch, clip_shape: tuple[int, int, int, int], batch_sizes: Sequence[int]) -> list[int]:
    """The batch-invariant sizes, ascending: each clip of the batch gets the same bits as it gets alone.

    Kernels may sum in another order for another batch size or batch row. A size with such kernels is dropped, so a
    prediction never depends on concurrent requests. Two clips, one whole and one padded, alternate in the rows of each
    batch; thus every row is compared, and its neighbour is the other clip. Size 1 is always kept.

    Calls `run` once per size, which also warms up the engine.
    """
    num_frames = clip_shape[0]
    clips = np.random.default_rng(0).integers(0, 256, (2, *clip_shape), dtype=np.uint8)
    valid = np.ones((2, num_frames), dtype=np.bool_)
    valid[1, max(1, num_frames // 2) :] = False
    alone = [np.concatenate(run(clips[index : index + 1], valid[index : index + 1]), axis=1) for index in range(2)]
    verified = [1]
    for size in sorted(set(batch_sizes) - {1}):
        indices = np.arange(size) % 2
        batched = np.concatenate(run(clips[indices], valid[indices]), axis=1)
        if np.array_equal(batched, np.concatenate([alone[index] for index in indices])):
            verified.append(size)
    return verified
