"""Which of five events a painted shape shows, and when: the model of the samples and the demo."""

from model_training.config import AugmentConfig, HeadConfig, LossConfig, OptimiserConfig, StageConfig, TrainConfig
from service.video.clip import ClipSpec

CONFIG = TrainConfig(
    name="events",
    description="Painted shapes drift about; one of them vanishes, flashes, spins, grows or jumps.",
    data_source="python -m model_training synthesise --out DIR --num-videos 2000 --seed 7",
    data_licence="Apache-2.0: rendered by this project, no footage.",
    command="python -m model_training train --config model_training/configs/events.py --data DIR",
    hardware="2 CPU cores",
    expected_result=(
        "accuracy 0.979 +- 0.006 over five folds and three seeds (single folds: +- 0.010), with the peak of attention"
        " inside the event in 0.980 of the videos and 0.971 of it inside on average"
    ),
    intended_use="Trying the service, its demo and its tests. Checking that attention points at the true moment.",
    refused_use="Anything about real footage: the model has seen painted shapes only.",
    limits="Exactly one event is expected in a video. A video without one still gets one of the five labels.",
    clip=ClipSpec(num_frames=32, height=64, width=64, frames_per_second=8, stride_seconds=2.0),
    combine="max",
    backbone="tiny",
    head=HeadConfig(feature_width=64, lstm_units=32, attention_width=32, dropout=0.1),
    augment=AugmentConfig(
        min_crop_area=0.8,
        max_aspect_change=0.1,
        brightness=0.15,
        contrast=0.15,
        saturation=0.15,
        max_dropped_frames=3,
        repeated_frame_probability=0.02,
    ),
    optimiser=OptimiserConfig(kind="adamw", weight_decay=0.01, decay="cosine", warmup_fraction=0.05),
    loss=LossConfig(label_smoothing=0.02, attention_weight=0.3),
    stages=(
        StageConfig(
            name="all", num_epochs=20, learning_rate=3e-3, backbone="all", batch_norm="updated", patience_epochs=8
        ),
    ),
    batch_size=16,
    seed=7,
    held_out_fold=4,
    validation_fraction=0.12,
)
