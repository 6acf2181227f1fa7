"""Flying objects in thermal video: an example with four labels, few videos of some, and repeated scenes."""

from model_training.config import AugmentConfig, HeadConfig, OptimiserConfig, StageConfig, TrainConfig
from service.video.clip import ClipSpec

CONFIG = TrainConfig(
    name="aircraft",
    description="The flying object in the picture of a thermal camera: an airplane, a bird, a drone or a helicopter.",
    data_source=(
        "220 clips of 10 seconds of a thermal camera (118 drones, 35 helicopters, 34 airplanes, 33 birds), with a"
        " manifest of scenes and five scene-grouped folds."
    ),
    data_licence="CC0. The CNN starts from MobileNetV2 weights (BSD-3-Clause).",
    command="python -m model_training train --config model_training/configs/aircraft.py --data DIR",
    hardware="2 CPU cores",
    expected_result=(
        "macro F1 0.784 +- 0.074 over five folds and three seeds (accuracy 0.803 +- 0.112, 95 % interval 0.742 to"
        " 0.887); the nearest mean picture of other scenes reaches a macro F1 of 0.619"
    ),
    intended_use="An example of training on few videos of several labels, split by scene.",
    refused_use="Any alarm that no person checks, and any decision about airspace or a person.",
    limits=(
        "One thermal camera and one landscape: a random split would score far higher by recognising the place, and 14"
        " pairs of videos in different folds of the manifest still look like one scene. Half of"
        " the drones come from one scene, which one seed of three misclassifies."
    ),
    # Few frames of many pixels: the clip covers all ten seconds, and the objects are small.
    clip=ClipSpec(num_frames=16, height=256, width=320, frames_per_second=1.5, stride_seconds=10.0),
    combine="mean",
    backbone="mobilenet_v2",
    head=HeadConfig(
        sees_motion=False, sees_statistics=True, feature_width=48, lstm_units=24, attention_width=24, dropout=0.5
    ),
    augment=AugmentConfig(
        min_crop_area=0.7,
        max_aspect_change=0.1,
        brightness=0.2,
        contrast=0.3,
        saturation=0.0,
        max_dropped_frames=4,
        repeated_frame_probability=0.0,
    ),
    optimiser=OptimiserConfig(kind="adamw", weight_decay=0.05, decay="cosine", warmup_fraction=0.1),
    stages=(
        StageConfig(
            name="head",
            num_epochs=30,
            learning_rate=1e-3,
            backbone="frozen",
            num_feature_views=4,
            patience_epochs=30,
            kept_epoch="last",
        ),
    ),
    batch_size=16,
    held_out_fold=None,
    validation_fraction=0.15,
)
