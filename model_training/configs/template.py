"""A template for your own run: copy this file, and fill in the name and the texts, which go into the model card."""

from model_training.config import AugmentConfig, HeadConfig, OptimiserConfig, StageConfig, TrainConfig
from service.video.clip import ClipSpec

CONFIG = TrainConfig(
    name="mine",
    description="What the model predicts for a video.",
    data_source="Where the videos come from, and how many there are.",
    data_licence="The licence of the videos.",
    command="python -m model_training train --config mine.py --data DIR",
    hardware="The machine it was trained on.",
    expected_result="The measured result, once known.",
    intended_use="What the model is for.",
    refused_use="Uses that are not allowed.",
    limits="Known failures, and conditions that were not tested.",
    # 16 square frames over 2 seconds. A longer video is covered by several clips.
    clip=ClipSpec(num_frames=16, height=160, width=160, frames_per_second=8, stride_seconds=2.0),
    # "max" if a label is an event that only one clip of a long video may show.
    combine="mean",
    # `compare` recommends one of the three; "cnn" is the cheapest, and the hardest to overfit.
    architecture="cnn_bilstm_attention",
    # "mobilenet_v2" was no better on 300 clips of fights (docs/evaluation.md); compare: `cross-validate --backbone`.
    backbone="efficientnet_lite0",
    head=HeadConfig(feature_width=64, lstm_units=32, attention_width=32, dropout=0.4),
    augment=AugmentConfig(),
    optimiser=OptimiserConfig(kind="adamw", weight_decay=0.05, decay="cosine", warmup_fraction=0.1),
    stages=(StageConfig(name="head", num_epochs=40, learning_rate=1e-3, backbone="frozen", patience_epochs=15),),
    # A fold of your manifest.csv that training never sees; it gives the metrics on the card.
    held_out_fold=None,
    validation_fraction=0.2,
)
