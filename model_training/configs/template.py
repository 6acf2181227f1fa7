"""A run of your own: copy this file, and fill in its name and its texts. They go into the model's card."""

from model_training.config import AugmentConfig, HeadConfig, OptimiserConfig, StageConfig, TrainConfig
from service.video.clip import ClipSpec

CONFIG = TrainConfig(
    name="mine",
    description="What the model says of a video.",
    data_source="Where the videos come from, and how many there are.",
    data_licence="Under which terms they may be used.",
    command="python -m model_training train --config mine.py --data DIR",
    hardware="What it was trained on.",
    expected_result="What came of it, once known.",
    intended_use="What the model is for.",
    refused_use="What it must not be used for.",
    limits="Where it is known to fail, or has not been tried.",
    # 16 frames over 2 seconds, as wide as high. A longer video is covered by several clips.
    clip=ClipSpec(num_frames=16, height=160, width=160, frames_per_second=8, stride_seconds=2.0),
    # "max" where a label is an event that one clip of a long video may show.
    combine="mean",
    # `compare` says which of the three to use; "cnn" is the cheapest, and the hardest to overfit.
    architecture="cnn_bilstm_attention",
    # On 300 clips of fights "mobilenet_v2" was no better (docs/training.md); `cross-validate --backbone` asks of yours.
    backbone="efficientnet_lite0",
    head=HeadConfig(feature_width=64, lstm_units=32, attention_width=32, dropout=0.4),
    augment=AugmentConfig(),
    optimiser=OptimiserConfig(kind="adamw", weight_decay=0.05, decay="cosine", warmup_fraction=0.1),
    stages=(StageConfig(name="head", num_epochs=40, learning_rate=1e-3, backbone="frozen", patience_epochs=15),),
    # A fold of your manifest.csv that training never sees: only such videos tell how good the model is.
    held_out_fold=None,
    validation_fraction=0.2,
)
