"""Whether attention explains a prediction: deletion and insertion of frames (Petsiuk et al. 2018).

A deleted frame shows its nearest kept frame (of two, the earlier), as a stalling camera does, so the input stays
a plausible video. Marking it invalid would leave a gap inside a clip, which no video of the service has.

Deletion removes the frames of highest attention first: the faster the predicted label's probability falls, the
better. Insertion starts with the frame of highest attention and adds frames by attention: the faster the
probability rises, the better. Both are compared with random orders and with evenly spaced frames (the order of
uniform attention). Attention that is equal for all frames defines no order: it gets the curves of random orders,
so its gain is 0.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc

from model_training.datasets.clip_cache import CachedClip
from model_training.evaluation.bootstrap import mean_interval
from model_training.evaluation.metrics import round_metric
from model_training.evaluation.results import Faithfulness, Interval, OrderedCurve
from service.inference.manifest import Manifest

MAX_CLIPS = 48
"""Only the first clip of a video is used."""
FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Fractions of the deletable frames; one frame is always kept."""
_NUM_RANDOM_ORDERS = 3
_SAME_WEIGHT = 1e-6
"""Relative difference up to which attention weights count as equal."""

Item = TypeVar("Item")
Order = NDArray[np.int64]
"""Valid frame positions of a clip; the first is deleted first or, for insertion, kept first."""


class ClipPredictor(Protocol):
    """A model that predicts clips given as arrays."""

    def predict_clips(self, frames: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], ...]:
        """Predict clips: probabilities [B, K] and attention [B, T]."""
        ...


def measure_faithfulness(
    model: ClipPredictor, manifest: Manifest, clips: Sequence[CachedClip], on_clip: Callable[[], None] = lambda: None
) -> Faithfulness:
    """Deletion and insertion curves over at most `MAX_CLIPS` of the cached clips, one of each video."""
    curves: list[NDArray[np.float64]] = []
    groups = []
    rng = np.random.default_rng(0)
    for clip in spread_examples(clips, MAX_CLIPS):
        curves.append(_clip_curves(model, clip, manifest.num_frames_per_step or 1, rng))
        groups.append(clip.example.group)
        on_clip()
    stacked = np.stack(curves)
    deletion = _compared(stacked[:, 0], groups, is_smaller_better=True)
    insertion = _compared(stacked[:, 1], groups, is_smaller_better=False)
    return Faithfulness(
        num_clips=len(curves),
        shares=FRACTIONS,
        deletion=deletion,
        insertion=insertion,
        attention_is_explanation=_verdict(deletion.gain_over_random_interval, insertion.gain_over_random_interval),
    )


def spread_examples(examples: Sequence[Item], max_num: int) -> list[Item]:
    """At most `max_num` of the examples, evenly spaced in their order."""
    indices = np.unique(np.linspace(0, len(examples) - 1, min(max_num, len(examples))).round().astype(int))
    return [examples[index] for index in indices]


def show_nearest_kept(frames: NDArray[np.uint8], kept: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The clip [T, H, W, 3] in which each position shows the nearest `kept` frame, the earlier of two."""
    kept = np.sort(kept)
    distance = np.abs(np.arange(len(frames))[:, None] - kept[None, :])
    shown: NDArray[np.uint8] = frames[kept[distance.argmin(axis=1)]]
    return shown


def even_order(num_positions: int) -> Order:
    """Positions 0..num_positions-1, middle first; each next one is as far as possible from the previous ones."""
    order = [num_positions // 2]
    while len(order) < num_positions:
        left = np.setdiff1d(np.arange(num_positions), order)
        gaps = np.abs(left[:, None] - np.array(order)[None, :]).min(axis=1)
        order.append(int(left[gaps.argmax()]))
    return np.array(order, np.int64)


def _clip_curves(
    model: ClipPredictor, clip: CachedClip, num_frames_per_step: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Probabilities [2, 3, len(FRACTIONS)] of the predicted label: deletion and insertion; attention, random, even."""
    frames, valid = clip.frames(), clip.valid
    probabilities, attention = model.predict_clips(frames[None], valid[None])
    label = int(probabilities[0].argmax())
    positions = np.flatnonzero(valid)

    @cache
    def keeping(kept: frozenset[int]) -> float:
        """Probability of the predicted label if only the frames `kept` are shown; one clip a call, as in serving."""
        shown = show_nearest_kept(frames, np.array(sorted(kept)))
        shown[~valid] = 0
        return float(model.predict_clips(shown[None], valid[None])[0][0, label])

    def deletion(order: Order) -> list[float]:
        return [keeping(frozenset(order[count:].tolist())) for count in _counts(len(order))]

    def insertion(order: Order) -> list[float]:
        return [keeping(frozenset(order[: len(order) - count].tolist())) for count in _counts(len(order))[::-1]]

    even = positions[even_order(len(positions))]
    random_deletion = np.mean([deletion(rng.permutation(positions)) for _ in range(_NUM_RANDOM_ORDERS)], axis=0)
    # Keeping the first frames of a random order is deleting the first frames of another: one curve serves both.
    random_insertion = random_deletion[::-1]
    weights = attention[0][positions]
    if _is_uniform(weights, positions // num_frames_per_step):
        deleted, inserted = random_deletion.tolist(), random_insertion.tolist()
    else:
        by_attention = positions[np.argsort(-weights, kind="stable")]
        deleted, inserted = deletion(by_attention), insertion(by_attention)
    return np.array([[deleted, random_deletion, deletion(even)], [inserted, random_insertion, insertion(even)]])


def _is_uniform(weights: NDArray[np.float32], steps: NDArray[np.int64]) -> bool:
    """Whether all time steps have equal attention; frames of a step share it, and the last step may have fewer."""
    by_step = np.bincount(steps, weights)[np.unique(steps)]
    return bool(np.ptp(by_step) <= _SAME_WEIGHT * by_step.max())


def _counts(num_positions: int) -> list[int]:
    """Number of deleted frames at each of `FRACTIONS`."""
    return [round(fraction * (num_positions - 1)) for fraction in FRACTIONS]


def _compared(curves: NDArray[np.float64], groups: Sequence[str], *, is_smaller_better: bool) -> OrderedCurve:
    """Mean and areas of the clips' curves [N, 3, S], and the gains of the attention order."""
    areas = np.array([[auc(FRACTIONS, curve) for curve in orders] for orders in curves])
    sign = -1 if is_smaller_better else 1
    over_random, over_even = (sign * (areas[:, 0] - areas[:, other]) for other in (1, 2))
    mean_curves = [tuple(map(round_metric, curve)) for curve in curves.mean(axis=0)]
    mean_areas = [round_metric(area) for area in areas.mean(axis=0)]
    return OrderedCurve(
        attention=mean_curves[0],
        random=mean_curves[1],
        even=mean_curves[2],
        area_attention=mean_areas[0],
        area_random=mean_areas[1],
        area_even=mean_areas[2],
        gain_over_random=round_metric(over_random.mean()),
        gain_over_random_interval=mean_interval(over_random, groups),
        gain_over_even=round_metric(over_even.mean()),
        gain_over_even_interval=mean_interval(over_even, groups),
    )


def _verdict(*gains: Interval | None) -> bool | None:
    known = [gain for gain in gains if gain is not None]
    return all(gain.low > 0 for gain in known) if len(known) == len(gains) else None
