"""Which clips an epoch sees, and in which order. Pure arithmetic: the same seed, the same draws."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Sampling = Literal["shuffled", "balanced"]


def drawn_order(
    targets: NDArray[np.float32], seed: tuple[int, ...], epoch: int | None, sampling: Sampling
) -> NDArray[np.int64]:
    """Which clip comes at each place of an epoch, int64 [N]; in the clips' own order if `epoch` is None.

    `shuffled` takes each clip once. `balanced` takes clips of each label alike, as often as an epoch has
    places for; a clip with several labels counts for its rarest, those with none for one of their own.
    """
    num_clips = len(targets)
    if epoch is None:
        return np.arange(num_clips)
    rng = np.random.default_rng((*seed, epoch))
    if sampling == "shuffled":
        return rng.permutation(num_clips)
    kinds = _rarest_labels(targets)
    present = np.unique(kinds)
    # Labels that come one time more often than others change from epoch to epoch.
    quotas = np.full(len(present), num_clips // len(present)) + (
        rng.permutation(len(present)) < num_clips % len(present)
    )
    drawn = [_drawn(np.flatnonzero(kinds == kind), quota, rng) for kind, quota in zip(present, quotas, strict=True)]
    return rng.permutation(np.concatenate(drawn))


def _drawn(clips: NDArray[np.int64], num_draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`num_draws` of `clips`, none a second time before each has come once."""
    num_rounds = -(-num_draws // len(clips))
    rounds = [rng.permutation(clips) for _ in range(num_rounds)]
    return np.concatenate([*rounds, np.zeros(0, np.int64)])[:num_draws]


def _rarest_labels(targets: NDArray[np.float32]) -> NDArray[np.int64]:
    counts = targets.sum(axis=0)
    rarity = np.where(targets > 0, counts, np.inf)
    return np.where(targets.any(axis=1), rarity.argmin(axis=1), -1)
