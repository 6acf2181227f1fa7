"""Fight or no fight, with more work a clip: a network of videos that looks where most moves."""

from model_training.config import (
    AugmentConfig,
    HeadConfig,
    LossConfig,
    MotionCropConfig,
    OptimiserConfig,
    StageConfig,
    TrainConfig,
)
from service.video.clip import ClipSpec

CONFIG = TrainConfig(
    name="fights-accurate",
    description="Whether people fight in a short clip of a surveillance camera.",
    data_source=(
        "300 clips of 1 to 5 seconds from 46 source videos of surveillance cameras, half of them fights: the"
        " surveillance camera fight collection, with a manifest of source groups and five source-grouped folds."
    ),
    data_licence=(
        "The collection is under the MIT licence; the footage belongs to those who uploaded it. No frame of it is"
        " part of this model's directory. The CNN is I3D with its Kinetics-400 weights (Apache-2.0)."
    ),
    command="python -m model_training train --config model_training/configs/fights_accurate.py --data DIR",
    hardware="2 CPU cores",
    expected_result=(
        "0.871 +- 0.008 over five folds and three seeds (single folds: +- 0.040; 95 % interval 0.838 to 0.905),"
        " calibration error 0.035"
    ),
    intended_use=(
        "As a starting point for a model trained on one's own cameras, where accuracy is worth eight times the work."
        " A person looks at whatever it flags."
    ),
    refused_use="Any decision about a person, any alarm nobody checks, identifying people, law enforcement.",
    limits=(
        "Trained on 46 sources only; expect less on cameras it has not seen: on collections other than the one it was"
        " trained on, models of this kind lose much of their accuracy. It looks where most moves, and so past a fight"
        " in a corner while traffic passes; crowds, sport and dancing look like fights to it."
    ),
    clip=ClipSpec(num_frames=32, height=320, width=568, frames_per_second=16, stride_seconds=1.0, fit="letterbox"),
    combine="mean",
    backbone="i3d",
    motion_crop=MotionCropConfig(size=224),
    head=HeadConfig(
        sees_motion=False, sees_statistics=True, feature_width=48, lstm_units=24, attention_width=24, dropout=0.4
    ),
    augment=AugmentConfig(
        min_crop_area=0.7,
        max_aspect_change=0.1,
        brightness=0.1,
        contrast=0.2,
        saturation=0.0,
        max_dropped_frames=2,
        held_frame_rate=0.0,
        max_speed_change=0.15,
    ),
    optimiser=OptimiserConfig(kind="adamw", weight_decay=0.02, decay="cosine", warmup_fraction=0.1),
    loss=LossConfig(label_smoothing=0.1),
    stages=(
        StageConfig(
            name="head",
            num_epochs=30,
            learning_rate=1e-3,
            backbone="frozen",
            num_feature_views=3,
            patience_epochs=30,
            kept_epoch="last",
        ),
    ),
    batch_size=16,
    stored_precision="float16",
    seed=0,
    held_out_fold=None,
    validation_fraction=0.12,
)
