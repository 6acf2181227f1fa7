"""The typed, bounded options of a training run, with units in their names. Does not import TensorFlow."""

from model_training.config.augmentation import AugmentConfig
from model_training.config.network import (
    Architecture,
    BackboneName,
    HeadConfig,
    HeadKind,
    MotionCropConfig,
    backbone_clip,
    num_frames_per_step,
)
from model_training.config.part import ConfigPart
from model_training.config.stages import LossConfig, OptimiserConfig, StageConfig
from model_training.config.train_config import Distribution, TeacherConfig, TrainConfig

__all__ = [
    "Architecture",
    "AugmentConfig",
    "BackboneName",
    "ConfigPart",
    "Distribution",
    "HeadConfig",
    "HeadKind",
    "LossConfig",
    "MotionCropConfig",
    "OptimiserConfig",
    "StageConfig",
    "TeacherConfig",
    "TrainConfig",
    "backbone_clip",
    "num_frames_per_step",
]
