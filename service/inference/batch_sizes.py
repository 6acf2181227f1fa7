"""Verifies which batch sizes leave a clip's result unchanged."""

from collections.abc import Sequence

import numpy as np

from service.inference.batcher import Run


def verified_batch_sizes(run: Run, clip_shape: tuple[int, int, int, int], batch_sizes: Sequence[int]) -> list[int]:
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
