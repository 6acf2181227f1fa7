"""A config whose training run takes seconds; tests change single fields."""

from typing import Any

from model_training.config import AugmentConfig, HeadConfig, StageConfig, TrainConfig
from service.video.clip import ClipSpec

STAGES = (
    StageConfig(name="head", num_epochs=2, learning_rate=1e-3, backbone="frozen", num_feature_views=2),
    StageConfig(name="all", num_epochs=2, learning_rate=1e-3, backbone="all", batch_norm="updated"),
)


def small_config(**changes: Any) -> TrainConfig:
    """The config, validated with `changes`."""
    plain: dict[str, Any] = {
        **dict.fromkeys(("description", "data_source", "data_licence", "command", "hardware"), "A test."),
        **dict.fromkeys(("expected_result", "intended_use", "refused_use", "limits"), "A test."),
        "name": "small",
        "clip": ClipSpec(num_frames=4, height=16, width=16, frames_per_second=2, stride_seconds=2),
        "backbone": "tiny",
        "head": HeadConfig(feature_width=8, lstm_units=4, attention_width=4, num_attention_heads=2),
        "augment": AugmentConfig(max_dropped_frames=1),
        "stages": STAGES,
        "batch_size": 3,
        "seed": 1,
        "validation_fraction": 0.3,
    }
    return TrainConfig(**(plain | changes))
