"""Whether attention explains an answer: what becomes of the answer when frames go in its order.

A frame is deleted by showing the nearest frame that is kept in its place (of two, the earlier), as a stalling
camera does: what the model sees is still a video, of a kind that it met in training. Marking the frame invalid
instead would be a hole in mid-clip, which no video of the service ever has, and the answer to that would tell
of the hole. Deletion shows the answer's probability as the frames of highest attention go first: the faster it
falls, the better. Insertion begins with the one frame of highest attention, held still, and lets the others
come by attention: the faster it rises, the better. Both are held against random orders, and against the order
of equal weights, which takes frames so that gaps stay even. Attention that weighs all of a clip alike names no
order: it is given what random orders give, and so gains nothing.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc

from model_training.datasets.examples import Example
from model_training.datasets.segments import open_segment
from model_training.evaluation.bootstrap import mean_interval
from model_training.evaluation.metrics import round_metric
from model_training.evaluation.results import Faithfulness, Interval, OrderedCurve
from service.inference.manifest import Manifest
from service.video.clip import Clip

MAX_CLIPS = 48
"""One of each video, the first."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the frames that may go: one always stays."""
_NUM_RANDOM_ORDERS = 3
_SAME_WEIGHT = 1e-6
"""Weights that differ by no more, as a share of the largest, differ by rounding alone."""

Order = NDArray[np.int64]
"""The valid places of a clip; the first is the first to be deleted, or, for insertion, to be kept."""


class Answering(Protocol):
    """A model that can be shown clips that no video holds."""

    def predict_clips(self, frames: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], ...]:
        """Probabilities [B, K] and attention [B, T] of clips."""
        ...


def measure_faithfulness(
    model: Answering, manifest: Manifest, examples: Sequence[Example], on_clip: Callable[[], None] = lambda: None
) -> Faithfulness:
    """Deletion and insertion curves over the first clips of at most `MAX_CLIPS` of these videos."""
    curves: list[NDArray[np.float64]] = []
    groups = []
    rng = np.random.default_rng(0)
    for example in spread_examples(examples, MAX_CLIPS):
        curves.append(_clip_curves(model, _first_clip(example, manifest), manifest.num_frames_per_step or 1, rng))
        groups.append(example.group)
        on_clip()
    stacked = np.stack(curves)
    deletion = _compared(stacked[:, 0], groups, is_smaller_better=True)
    insertion = _compared(stacked[:, 1], groups, is_smaller_better=False)
    return Faithfulness(
        num_clips=len(curves),
        shares=SHARES,
        deletion=deletion,
        insertion=insertion,
        attention_is_explanation=_verdict(deletion.gain_over_random_interval, insertion.gain_over_random_interval),
    )


def spread_examples(examples: Sequence[Example], max_num: int) -> list[Example]:
    """At most `max_num` of the examples, evenly spread over them as they are listed."""
    places = np.unique(np.linspace(0, len(examples) - 1, min(max_num, len(examples))).round().astype(int))
    return [examples[place] for place in places]


def show_nearest_kept(frames: NDArray[np.uint8], kept: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The clip [T, H, W, 3] with each place showing the nearest of the `kept` ones, the earlier of two."""
    kept = np.sort(kept)
    distance = np.abs(np.arange(len(frames))[:, None] - kept[None, :])
    shown: NDArray[np.uint8] = frames[kept[distance.argmin(axis=1)]]
    return shown


def even_order(num_places: int) -> Order:
    """Places 0..num_places-1, each as far as can be from those before it; the middle one first."""
    order = [num_places // 2]
    while len(order) < num_places:
        left = np.setdiff1d(np.arange(num_places), order)
        gaps = np.abs(left[:, None] - np.array(order)[None, :]).min(axis=1)
        order.append(int(left[gaps.argmax()]))
    return np.array(order, np.int64)


def _first_clip(example: Example, manifest: Manifest) -> Clip:
    with open_segment(example.path, manifest.clip, example.segment_seconds) as (_, clips):
        return next(clips)


def _clip_curves(
    model: Answering, clip: Clip, num_frames_per_step: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Probabilities [2, 3, len(SHARES)]: deletion and insertion, in attention's, random and even order."""
    valid = clip.times.valid
    probabilities, attention = model.predict_clips(clip.frames[None], valid[None])
    label = int(probabilities[0].argmax())
    places = np.flatnonzero(valid)

    @cache
    def keeping(kept: frozenset[int]) -> float:
        """The answer's probability when only these frames are shown. One clip a call, as ever in evaluation."""
        shown = show_nearest_kept(clip.frames, np.array(sorted(kept)))
        shown[~valid] = 0
        return float(model.predict_clips(shown[None], valid[None])[0][0, label])

    def deletion(order: Order) -> list[float]:
        return [keeping(frozenset(order[count:].tolist())) for count in _counts(len(order))]

    def insertion(order: Order) -> list[float]:
        return [keeping(frozenset(order[: len(order) - count].tolist())) for count in _counts(len(order))[::-1]]

    even = places[even_order(len(places))]
    of_random = np.mean([deletion(rng.permutation(places)) for _ in range(_NUM_RANDOM_ORDERS)], axis=0)
    # To keep the first of a random order is to delete the first of another: the same clips serve for both.
    of_random_inserted = of_random[::-1]
    weights = attention[0][places]
    if _weighs_all_alike(weights, places // num_frames_per_step):
        deleted, inserted = of_random.tolist(), of_random_inserted.tolist()
    else:
        by_attention = places[np.argsort(-weights, kind="stable")]
        deleted, inserted = deletion(by_attention), insertion(by_attention)
    return np.array([[deleted, of_random, deletion(even)], [inserted, of_random_inserted, insertion(even)]])


def _weighs_all_alike(weights: NDArray[np.float32], steps: NDArray[np.int64]) -> bool:
    """Whether every step has the same weight; its frames share that, and the last step may have fewer of them."""
    of_steps = np.bincount(steps, weights)[np.unique(steps)]
    return bool(np.ptp(of_steps) <= _SAME_WEIGHT * of_steps.max())


def _counts(num_places: int) -> list[int]:
    """How many frames are deleted at each of `SHARES`."""
    return [round(share * (num_places - 1)) for share in SHARES]


def _compared(curves: NDArray[np.float64], groups: Sequence[str], *, is_smaller_better: bool) -> OrderedCurve:
    """The mean of the clips' curves [N, 3, S], their areas, and how much attention's order gains."""
    areas = np.array([[auc(SHARES, curve) for curve in orders] for orders in curves])
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
