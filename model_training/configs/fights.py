"""Fight or no fight in a short surveillance clip: a 2D CNN on frame differences, distilled from a 3D CNN."""

from model_training.config import (
    AugmentConfig,
    HeadConfig,
    LossConfig,
    OptimiserConfig,
    StageConfig,
    TeacherConfig,
    TrainConfig,
)
from service.video.clip import ClipSpec

CONFIG = TrainConfig(
    name="fights",
    description="Whether people fight in a short clip of a surveillance camera.",
    data_source=(
        "300 clips of 1 to 5 seconds from 46 source videos of surveillance cameras, half of them fights: the"
        " surveillance camera fight collection, with a manifest of source groups and five source-grouped folds."
    ),
    data_licence=(
        "The collection is under the MIT licence; the footage belongs to those who uploaded it. No frame of it is"
        " part of this model's directory. The CNN starts from MobileNetV2 weights (BSD-3-Clause), and I3D weights"
        " (Apache-2.0) are its teacher."
    ),
    command="python -m model_training train --config model_training/configs/fights.py --data DIR",
    hardware="2 CPU cores",
    expected_result=(
        "0.802 +- 0.002 over five folds and three seeds (single folds: +- 0.033; 95 % interval 0.753 to 0.849),"
        " calibration error 0.049. The same backbone frozen, without a teacher, one seed: 0.74"
    ),
    intended_use=(
        "Showing what the service does on real footage, and as a starting point for a model trained on one's own"
        " cameras. A person looks at whatever it flags."
    ),
    refused_use="Any decision about a person, any alarm that no person checks, identifying people, law enforcement.",
    limits=(
        "Trained on 46 sources only; expect less on cameras it has not seen: on collections other than the one it was"
        " trained on, models of this kind lose much of their accuracy. It relies on motion: crowds, sport, dancing"
        " and a shaking camera look like fights to it."
    ),
    clip=ClipSpec(num_frames=16, height=160, width=160, frames_per_second=8, stride_seconds=1.0),
    combine="mean",
    backbone="mobilenet_v2",
    input="differences",
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
        repeated_frame_probability=0.0,
        max_speed_change=0.15,
    ),
    optimiser=OptimiserConfig(kind="adamw", weight_decay=0.02, decay="cosine", warmup_fraction=0.1),
    loss=LossConfig(label_smoothing=0.1),
    teacher=TeacherConfig(
        clip=ClipSpec(num_frames=32, height=224, width=224, frames_per_second=16, stride_seconds=1.0), weight=1.0
    ),
    stages=(
        StageConfig(
            name="last blocks",
            num_epochs=12,
            learning_rate=5e-4,
            backbone="last_blocks",
            num_backbone_blocks=8,
            batch_norm="frozen",
            are_lower_blocks_stored=True,
            num_feature_views=4,
            patience_epochs=12,
            kept_epoch="last",
        ),
    ),
    batch_size=16,
    seed=0,
    held_out_fold=None,
    validation_fraction=0.12,
)
