"""Every video answered by networks that never saw its group: folds of the manifest, several seeds.

What a frozen backbone makes of the clips is worked out once, and shared by folds, seeds and families.
"""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.atomic_files import read_arrays
from model_training.config import TrainConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.examples import Example
from model_training.datasets.labels import clip_targets
from model_training.datasets.preparation import split_by_config
from model_training.datasets.splits import Split
from model_training.evaluation.calibration import fit_temperature
from model_training.input_pipeline.batch import Batch
from model_training.input_pipeline.feature_dataset import feature_view
from model_training.input_pipeline.pixel_dataset import PixelDataset
from model_training.networks.network import Network, build_network, probabilities_of
from model_training.progress import RunProgress
from model_training.training.loop import train_network
from model_training.training.plan import PrecomputedFeatures, TrainingPlan
from model_training.training.prediction import clip_logits
from model_training.training.stage_datasets import frozen_part
from service.inference.manifest import combine_clips


class ShuffledClip(CachedClip):
    """A clip whose valid frames come in an order drawn once and for all: what is seen stays, when it was is lost."""

    def frames(self) -> NDArray[np.uint8]:
        """The pixels uint8 [T, H, W, 3] of the clip, its valid frames shuffled."""
        frames, places = CachedClip.frames(self), np.flatnonzero(self.valid)
        seed = int(hashlib.sha256(f"{self.cache_file.name} {self.index}".encode()).hexdigest()[:8], 16)
        shuffled = frames.copy()
        shuffled[places] = frames[np.random.default_rng(seed).permutation(places)]
        return shuffled


@dataclass(frozen=True, slots=True)
class FoldData:
    """The videos of all folds, and where their runs and features are kept."""

    examples: Sequence[Example]
    labels: tuple[str, ...]
    clips: Sequence[CachedClip]
    directory: Path
    display: RunProgress
    is_stopping: Callable[[], bool]

    def indices_of(self, examples: Sequence[Example]) -> NDArray[np.int64]:
        """Which of `clips` are of these examples."""
        wanted = set(examples)
        return np.array([place for place, clip in enumerate(self.clips) if clip.example in wanted], np.int64)


@dataclass(frozen=True, slots=True)
class SharedFeatures:
    """What a frozen part made of all clips: augmented views, as they are, and with their frames shuffled if asked."""

    views: Sequence[Batch]
    still: Batch
    shuffled: Batch | None = None


@dataclass(frozen=True, slots=True)
class HeldOutPrediction:
    """What a network that did not see it answers for a video: probabilities float64 [K], as it is and shuffled."""

    example: Example
    seed: int
    probabilities: NDArray[np.float64]
    shuffled_probabilities: NDArray[np.float64]


def shared_features(config: TrainConfig, data: FoldData, *, with_shuffled: bool) -> SharedFeatures | None:
    """What the first stage does not change makes of all clips; None where folds cannot share that.

    They cannot where the backbone is trained from the start, begins as drawn by the seed, or mixes clips.
    """
    stage = config.stages[0]
    is_unlike = config.backbone == "tiny" or config.augment.mixup_alpha > 0
    if stage.num_blocks_above_stored is None or is_unlike:
        return None
    folder = data.directory / f"features-{_features_key(config, data)}"
    network = build_network(config, len(data.labels), is_pretrained=True)
    features_of = frozen_part(network, config, stage, data.is_stopping)
    targets, seed = clip_targets(data.clips, data.labels, config.head.kind), (config.seed, 0)
    dataset = PixelDataset(data.clips, targets, config.augment, seed)
    shuffled = PixelDataset([_shuffled(clip) for clip in data.clips], targets, config.augment, seed)
    num_views = stage.num_feature_views
    num_passes = num_views + (2 if with_shuffled else 1)
    with data.display.bar("frozen backbone", num_passes * len(data.clips), "clips") as on_clips:
        return SharedFeatures(
            views=[
                feature_view(dataset, view, features_of, folder / f"view-{view:03d}.npz", on_clips)
                for view in range(num_views)
            ],
            still=feature_view(dataset, None, features_of, folder / "still.npz", on_clips),
            shuffled=feature_view(shuffled, None, features_of, folder / "shuffled.npz", on_clips)
            if with_shuffled
            else None,
        )


def held_out_predictions(
    config: TrainConfig, data: FoldData, shared: SharedFeatures | None, folds: Sequence[int], seeds: Sequence[int]
) -> list[HeldOutPrediction]:
    """An answer per seed for each video of these folds, by a network trained on the other folds.

    The validation videos that stop training early and set the temperature lie inside the training folds, and are
    the same for every config of the same seed. The answers of a fold that was done before are read back.

    Raises:
        TrainingInterrupted: `is_stopping()` turned true; what was done is kept.
    """
    answers = []
    for seed in seeds:
        for fold in folds:
            answers += _fold_answers(fold_config(config, fold, seed), data, shared)
    return answers


def is_right(answer: NDArray[np.float64], truth: Sequence[str], labels: Sequence[str], *, sums_to_one: bool) -> bool:
    """Whether the likeliest label is the true one; where labels stand for themselves, whether every one is."""
    if sums_to_one:
        return (labels[int(answer.argmax())],) == tuple(truth)
    half = 0.5
    return {label for label, value in zip(labels, answer, strict=True) if value > half} == set(truth)


@dataclass(frozen=True, slots=True)
class TrainedFold:
    """A network trained on all folds but one; `temperature` is fitted on the validation videos of `split`."""

    split: Split
    network: Network
    temperature: float


def fold_config(config: TrainConfig, fold: int, seed: int) -> TrainConfig:
    """The config of one run of many."""
    return config.model_copy(update={"seed": seed, "held_out_fold": fold})


def fold_directory(config: TrainConfig, data: FoldData) -> Path:
    """Where the run of a `fold_config` keeps its checkpoint; another config, other clips or folds have another."""
    return (
        data.directory
        / f"{config.architecture}-seed-{config.seed}-fold-{config.held_out_fold}-{_run_key(config, data)}"
    )


def train_fold(config: TrainConfig, data: FoldData, shared: SharedFeatures | None) -> TrainedFold:
    """Train on all folds but the held-out one of a `fold_config`.

    Raises:
        TrainingInterrupted: `data.is_stopping()` turned true; a checkpoint is kept.
    """
    split = split_by_config(config, data.examples)
    training, validation = (data.indices_of(part) for part in (split.training, split.validation))
    precomputed = None
    if shared is not None:
        precomputed = PrecomputedFeatures(
            [view.select(training) for view in shared.views], shared.still.select(validation)
        )
    directory = fold_directory(config, data)
    directory.mkdir(parents=True, exist_ok=True)
    network, _ = train_network(
        TrainingPlan(
            config,
            data.labels,
            [data.clips[place] for place in training],
            [data.clips[place] for place in validation],
            directory,
            data.display,
            data.is_stopping,
            precomputed,
        )
    )
    targets = clip_targets([data.clips[place] for place in validation], data.labels, config.head.kind)
    logits = _logits(network, data, validation, _still_shared(config, shared))
    return TrainedFold(split, network, fit_temperature(logits, targets, config.head.kind))


def _still_shared(config: TrainConfig, shared: SharedFeatures | None) -> SharedFeatures | None:
    """The shared features if they are still those of the trained network."""
    return shared if all(stage.backbone == "frozen" for stage in config.stages) else None


def _fold_answers(config: TrainConfig, data: FoldData, shared: SharedFeatures | None) -> list[HeldOutPrediction]:
    directory = fold_directory(config, data)
    done = directory.with_suffix(".npz")
    kept = read_arrays(done)
    if kept is not None:
        return _answers(config, split_by_config(config, data.examples).held_out, kept["plain"], kept["shuffled"])
    trained = train_fold(config, data, shared)
    features, kind, examples = _still_shared(config, shared), config.head.kind, trained.split.held_out
    held_out = data.indices_of(examples)
    plain, shuffled = (
        np.asarray(
            probabilities_of(
                _logits(trained.network, data, held_out, features, is_shuffled=flag) / trained.temperature, kind
            )
        )
        for flag in (False, True)
    )
    sums_to_one = config.head.sums_to_one
    of_video = [[data.clips[place].example == example for place in held_out] for example in examples]
    videos, mixed = (
        np.stack([combine_clips(rows[own], config.combine, sums_to_one=sums_to_one) for own in np.array(of_video)])
        for rows in (plain, shuffled)
    )
    partial = directory / "answers.npz"
    np.savez(partial, plain=videos, shuffled=mixed)
    partial.replace(done)
    # A checkpoint holds the backbone twice: of a fold that is done only the answers are kept.
    shutil.rmtree(directory)
    return _answers(config, examples, videos, mixed)


def _answers(
    config: TrainConfig, examples: Sequence[Example], plain: NDArray[np.float64], shuffled: NDArray[np.float64]
) -> list[HeldOutPrediction]:
    rows = zip(examples, plain, shuffled, strict=True)
    return [HeldOutPrediction(example, config.seed, video, mixed) for example, video, mixed in rows]


def _logits(
    network: Network,
    data: FoldData,
    places: NDArray[np.int64],
    features: SharedFeatures | None,
    *,
    is_shuffled: bool = False,
) -> NDArray[np.float32]:
    if features is None:
        clips = [data.clips[place] for place in places]
        return clip_logits(network, [_shuffled(clip) for clip in clips] if is_shuffled else clips)
    told = features.shuffled if is_shuffled else features.still
    assert told is not None
    rows = told.select(places)
    return np.asarray(network.head([rows.inputs, rows.valid])[0], np.float32)


def _shuffled(clip: CachedClip) -> ShuffledClip:
    return ShuffledClip(clip.example, clip.cache_file, clip.index, clip.valid, clip.times_seconds)


def _features_key(config: TrainConfig, data: FoldData) -> str:
    """Differs whenever a feature could: the head's own widths and the family do not matter."""
    seen: dict[str, Any] = config.model_dump(
        mode="json", include={"backbone", "clip", "input", "augment", "seed", "precision", "teacher", "motion_crop"}
    )
    seen["num_blocks_above"] = config.stages[0].num_blocks_above_stored
    seen |= {"sees": (config.head.sees_appearance, config.head.sees_motion), "kind": config.head.kind}
    return _digest(str(seen), *data.labels, *map(_told_of, data.clips))


def _run_key(config: TrainConfig, data: FoldData) -> str:
    """Differs whenever the config, the videos, what is told of them or their folds do: the answers would, too."""
    clips = [f"{_told_of(clip)} {clip.example.group} {clip.example.fold}" for clip in data.clips]
    return _digest(config.recipe, *data.labels, *clips)


def _told_of(clip: CachedClip) -> str:
    """What a clip teaches: its pixels, its labels, and which of its frames lie in the event."""
    return f"{clip.cache_file.name} {clip.index} {clip.example.labels} {clip.example.event_seconds}"


def _digest(*lines: str) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
