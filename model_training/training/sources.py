"""The datasets of a training stage: pixels, or features computed beforehand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.config import StageConfig, TrainConfig
from model_training.datasets.labels import clip_targets
from model_training.errors import TrainingInterrupted
from model_training.input_pipeline.batches import FeatureSource, PixelSource, Source, feature_view
from model_training.networks.features import split_features
from model_training.networks.network import Network
from model_training.training.distribution import worker_number
from model_training.training.plan import TrainingPlan
from model_training.training.steps import one_graph

FeaturesOf = Callable[[NDArray[Any], NDArray[np.bool_]], NDArray[np.floating]]


def sources(plan: TrainingPlan, network: Network, stage_index: int) -> tuple[Source, Source]:
    """Where a stage's training and validation batches come from."""
    config, stage, seed = plan.config, plan.config.stages[stage_index], (plan.config.seed, stage_index)
    depths = {other.num_blocks_above_stored for other in config.stages[: stage_index + 1]}
    if plan.stored is not None and len(depths) == 1:
        views, still = plan.stored.views[: stage.num_feature_views], plan.stored.validation
        return FeatureSource(views, (*seed, 1), config.sampling), FeatureSource([still], seed)
    training, validation = (
        PixelSource(clips, clip_targets(clips, plan.labels, config.head.kind), config.augment, seed, config.sampling)
        for clips in (plan.training, plan.validation)
    )
    if stage.num_blocks_above_stored is None:
        return training, validation
    folder = own_directory(plan) / f"features-{stage_index}"
    num_clips = stage.num_feature_views * len(plan.training) + len(plan.validation)
    with plan.display.bar("frozen backbone", num_clips, "clips") as on_clips:
        features_of = stored_features(network, config, stage, plan.is_stopping)
        still = feature_view(validation, None, features_of, folder / "validation.npz", on_clips)
        views = [
            feature_view(training, view, features_of, folder / f"view-{view:03d}.npz", on_clips)
            for view in range(stage.num_feature_views)
        ]
    return FeatureSource(views, (*seed, 1), config.sampling), FeatureSource([still], seed)


def stored_features(
    network: Network, config: TrainConfig, stage: StageConfig, is_stopping: Callable[[], bool]
) -> FeaturesOf:
    """What the part of a network that does not learn in `stage` makes of clips uint8 [B,T,H,W,3] and bool [B,T].

    Features float32 [B,S,F], or the maps float16 that go into the blocks that learn. It raises
    `TrainingInterrupted` when `is_stopping()` turns true.
    """
    num_blocks = stage.num_blocks_above_stored
    below = split_features(network.backbone, config, num_blocks)[0] if num_blocks else network.features
    graph = one_graph(lambda frames, valid: below([frames, valid]))

    def features_of(frames: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.floating]:
        if is_stopping():
            raise TrainingInterrupted(
                "interrupted: whole views of features are kept; the same command goes on from them"
            )
        return np.asarray(graph(frames, valid))

    return features_of


def own_directory(plan: TrainingPlan) -> Path:
    """Where this process writes; others that train the same run have folders of their own in it."""
    worker = worker_number(plan.config)
    return plan.run_directory / f"worker-{worker}" if worker else plan.run_directory
