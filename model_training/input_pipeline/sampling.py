"""The sampling of an epoch: which clips it contains, and in which order. Deterministic in the seed."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Sampling = Literal["shuffled", "balanced"]


def epoch_order(
    targets: NDArray[np.float32], seed: tuple[int, ...], epoch: int | None, sampling: Sampling
) -> NDArray[np.int64]:
    """The clip index at each position of an epoch, int64 [N]; the clips' own order if `epoch` is None.

    `shuffled` contains each clip once. `balanced` contains as many clips, the same number for each label; a clip
    with several labels counts for its rarest label, and clips without any label count as a label of their own.
    """
    num_clips = len(targets)
    if epoch is None:
        return np.arange(num_clips)
    rng = np.random.default_rng((*seed, epoch))
    if sampling == "shuffled":
        return rng.permutation(num_clips)
    rarest = _rarest_labels(targets)
    present = np.unique(rarest)
    # If N is not divisible, randomly chosen labels get one clip more; the choice changes with the epoch.
    quotas = np.full(len(present), num_clips // len(present)) + (
        rng.permutation(len(present)) < num_clips % len(present)
    )
    samples = [
        _sample(np.flatnonzero(rarest == label), quota, rng) for label, quota in zip(present, quotas, strict=True)
    ]
    return rng.permutation(np.concatenate(samples))


def _sample(clips: NDArray[np.int64], num_samples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Take `num_samples` of `clips`; no clip repeats before each clip was taken once."""
    num_rounds = -(-num_samples // len(clips))
    rounds = [rng.permutation(clips) for _ in range(num_rounds)]
    return np.concatenate([*rounds, np.zeros(0, np.int64)])[:num_samples]


def _rarest_labels(targets: NDArray[np.float32]) -> NDArray[np.int64]:
    """The index of each clip's rarest label, int64 [N]; -1 for clips without any label."""
    counts = targets.sum(axis=0)
    rarity = np.where(targets > 0, counts, np.inf)
    return np.where(targets.any(axis=1), rarity.argmin(axis=1), -1)
