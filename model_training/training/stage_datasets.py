"""The training and validation datasets of a stage: pixels, or precomputed features of its frozen part."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.config import StageConfig, TrainConfig
from model_training.datasets.labels import clip_targets
from model_training.errors import TrainingInterrupted
from model_training.input_pipeline.batch import BatchDataset
from model_training.input_pipeline.feature_dataset import FeatureDataset, feature_view
from model_training.input_pipeline.pixel_dataset import PixelDataset
from model_training.networks.features import split_features
from model_training.networks.network import Network
from model_training.training.distribution import worker_index
from model_training.training.graph import compile_graph
from model_training.training.plan import PrecomputedFeatures, TrainingPlan

FeaturesOf = Callable[[NDArray[Any], NDArray[np.bool_]], NDArray[np.floating]]


def stage_datasets(plan: TrainingPlan, network: Network, stage_index: int) -> tuple[BatchDataset, BatchDataset]:
    """The training and the validation dataset of a stage; features are computed first if its backbone is frozen."""
    config, stage, seed = plan.config, plan.config.stages[stage_index], (plan.config.seed, stage_index)
    if stage.num_blocks_above_stored is None:
        return _pixel_datasets(plan, seed)
    depths = {other.num_blocks_above_stored for other in config.stages[: stage_index + 1]}
    if plan.precomputed is not None and len(depths) == 1:
        features = plan.precomputed
    else:
        features = _compute_features(plan, network, stage_index)
    training = FeatureDataset(features.views[: stage.num_feature_views], (*seed, 1), config.sampling)
    return training, FeatureDataset([features.validation], seed)


def frozen_part(
    network: Network, config: TrainConfig, stage: StageConfig, is_stopping: Callable[[], bool]
) -> FeaturesOf:
    """A function that runs the frozen part of `network` in `stage` on clips uint8 [B,T,H,W,3] and valid bool [B,T].

    It returns features float32 [B,S,F], or the maps float16 [B,T or S,h,w,c] below the blocks that train. It raises
    `TrainingInterrupted` when `is_stopping()` returns True.
    """
    num_blocks = stage.num_blocks_above_stored
    below = split_features(network.backbone, config, num_blocks)[0] if num_blocks else network.features
    graph = compile_graph(lambda frames, valid: below([frames, valid]))

    def features_of(frames: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.floating]:
        if is_stopping():
            raise TrainingInterrupted(
                "interrupted: the finished feature views are kept; run the same command again to continue"
            )
        return np.asarray(graph(frames, valid))

    return features_of


def worker_directory(plan: TrainingPlan) -> Path:
    """The folder this process writes to: the run's folder for the chief, a subfolder for each further worker."""
    worker = worker_index(plan.config)
    return plan.run_directory / f"worker-{worker}" if worker else plan.run_directory


def _pixel_datasets(plan: TrainingPlan, seed: tuple[int, int]) -> tuple[PixelDataset, PixelDataset]:
    config = plan.config
    training, validation = (
        PixelDataset(clips, clip_targets(clips, plan.labels, config.head.kind), config.augment, seed, config.sampling)
        for clips in (plan.training, plan.validation)
    )
    return training, validation


def _compute_features(plan: TrainingPlan, network: Network, stage_index: int) -> PrecomputedFeatures:
    config, stage = plan.config, plan.config.stages[stage_index]
    training, validation = _pixel_datasets(plan, (config.seed, stage_index))
    folder = worker_directory(plan) / f"features-{stage_index}"
    num_clips = stage.num_feature_views * len(plan.training) + len(plan.validation)
    with plan.display.bar("frozen backbone", num_clips, "clips") as on_clips:
        features_of = frozen_part(network, config, stage, plan.is_stopping)
        unaugmented = feature_view(validation, None, features_of, folder / "validation.npz", on_clips)
        views = [
            feature_view(training, view, features_of, folder / f"view-{view:03d}.npz", on_clips)
            for view in range(stage.num_feature_views)
        ]
    return PrecomputedFeatures(views, unaugmented)
