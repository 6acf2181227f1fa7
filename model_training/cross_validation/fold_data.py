"""The clips of a cross-validation, and the features that its runs share."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.config import TrainConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.examples import Example
from model_training.datasets.labels import clip_targets
from model_training.input_pipeline.batch import Batch
from model_training.input_pipeline.feature_dataset import feature_view
from model_training.input_pipeline.pixel_dataset import PixelDataset
from model_training.networks.network import build_network
from model_training.progress import RunProgress
from model_training.training.stage_datasets import frozen_part


class ShuffledClip(CachedClip):
    """A clip with its valid frames in a fixed random order: it keeps the content and loses the order."""

    def frames(self) -> NDArray[np.uint8]:
        """The pixels uint8 [T, H, W, 3], with the valid frames shuffled."""
        frames, positions = CachedClip.frames(self), np.flatnonzero(self.valid)
        seed = int(hashlib.sha256(f"{self.cache_file.name} {self.index}".encode()).hexdigest()[:8], 16)
        shuffled = frames.copy()
        shuffled[positions] = frames[np.random.default_rng(seed).permutation(positions)]
        return shuffled


@dataclass(frozen=True, slots=True)
class FoldData:
    """The videos of all folds; runs and features are stored in `directory`."""

    examples: Sequence[Example]
    labels: tuple[str, ...]
    clips: Sequence[CachedClip]
    directory: Path
    display: RunProgress
    is_stopping: Callable[[], bool]

    def indices_of(self, examples: Sequence[Example]) -> NDArray[np.int64]:
        """Indices of the clips of these examples."""
        wanted = set(examples)
        return np.array([index for index, clip in enumerate(self.clips) if clip.example in wanted], np.int64)


@dataclass(frozen=True, slots=True)
class SharedFeatures:
    """Stored features of all clips: augmented views, unaugmented clips and, if requested, shuffled clips."""

    views: Sequence[Batch]
    unaugmented: Batch
    shuffled: Batch | None = None


def shared_features(config: TrainConfig, data: FoldData, *, with_shuffled: bool) -> SharedFeatures | None:
    """Features of the parts that the first stage does not train; None if folds cannot share them.

    Folds cannot share them if the first stage trains the whole backbone, if the backbone is initialised randomly,
    or with mixup.
    """
    stage = config.stages[0]
    differs_by_run = config.backbone == "tiny" or config.augment.mixup_alpha > 0
    if stage.num_blocks_above_stored is None or differs_by_run:
        return None
    folder = data.directory / f"features-{_features_key(config, data)}"
    network = build_network(config, len(data.labels), is_pretrained=True)
    features_of = frozen_part(network, config, stage, data.is_stopping)
    targets, seed = clip_targets(data.clips, data.labels, config.head.kind), (config.seed, 0)
    dataset = PixelDataset(data.clips, targets, config.augment, seed)
    shuffled = PixelDataset([shuffled_clip(clip) for clip in data.clips], targets, config.augment, seed)
    num_views = stage.num_feature_views
    num_passes = num_views + (2 if with_shuffled else 1)
    with data.display.bar("frozen backbone", num_passes * len(data.clips), "clips") as on_clips:
        return SharedFeatures(
            views=[
                feature_view(dataset, view, features_of, folder / f"view-{view:03d}.npz", on_clips)
                for view in range(num_views)
            ],
            unaugmented=feature_view(dataset, None, features_of, folder / "still.npz", on_clips),
            shuffled=feature_view(shuffled, None, features_of, folder / "shuffled.npz", on_clips)
            if with_shuffled
            else None,
        )


def shuffled_clip(clip: CachedClip) -> ShuffledClip:
    """The clip with its frames shuffled."""
    return ShuffledClip(clip.example, clip.cache_file, clip.index, clip.valid, clip.times_seconds)


def _features_key(config: TrainConfig, data: FoldData) -> str:
    """A digest of everything that affects the features; the architecture and the head's widths do not."""
    seen: dict[str, Any] = config.model_dump(
        mode="json", include={"backbone", "clip", "input", "augment", "seed", "precision", "teacher", "motion_crop"}
    )
    seen["num_blocks_above"] = config.stages[0].num_blocks_above_stored
    seen |= {"sees": (config.head.sees_appearance, config.head.sees_motion), "kind": config.head.kind}
    return short_digest(str(seen), *data.labels, *map(annotation_key, data.clips))


def annotation_key(clip: CachedClip) -> str:
    """Identifies a clip's pixels, labels and event times."""
    return f"{clip.cache_file.name} {clip.index} {clip.example.labels} {clip.example.event_seconds}"


def short_digest(*lines: str) -> str:
    """Twelve hexadecimal digits of the SHA-256 of the lines."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
