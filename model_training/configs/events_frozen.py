"""The five events on a frozen ImageNet backbone: measures the gain of attention over a mean."""

from model_training.config import LossConfig, StageConfig
from model_training.configs.events import CONFIG as EVENTS
from service.video.clip import ClipSpec

CONFIG = EVENTS.model_copy(
    update={
        "name": "events-frozen",
        "description": "The same five events, classified from the features of a frozen MobileNetV2.",
        "command": (
            "python -m model_training cross-validate --config model_training/configs/events_frozen.py --data DIR"
            " --seeds 3 --out FILE"
        ),
        "expected_result": (
            "accuracy 0.854 +- 0.011 over five folds and three seeds; with --architecture cnn 0.657 +- 0.010,"
            " right 0.197 (95 %: 0.181 to 0.213) less often"
        ),
        "intended_use": "Telling what attention gains over a mean of the same features, with `--architecture cnn`.",
        "clip": ClipSpec(num_frames=32, height=96, width=96, frames_per_second=8, stride_seconds=2.0),
        "backbone": "mobilenet_v2",
        # Without the times of the events: the architectures differ in nothing but themselves.
        "loss": LossConfig(label_smoothing=0.02),
        "stages": (
            StageConfig(
                name="head",
                num_epochs=30,
                learning_rate=1e-3,
                backbone="frozen",
                num_feature_views=2,
                patience_epochs=10,
            ),
        ),
    }
)
