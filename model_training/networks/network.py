"""The whole network: preprocessing, backbone and head."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from model_training.config import HeadKind, TrainConfig, backbone_clip
from model_training.networks.backbones.build import build_backbone, teacher_feature_width
from model_training.networks.features import build_features
from model_training.networks.heads import HEADS, HeadShape


@dataclass(frozen=True, slots=True)
class Network:
    """The two halves of a network, and the backbone inside the first.

    `features`: (frames uint8 [B,T,H,W,3], valid bool [B,T]) -> float32 [B,S,F], where S = T / frames per step.
    `head`: (features, valid) -> logits float32 [B,K], attention float32 [B,T], and with a teacher its predicted
    features float32 [B,D]. `kind` defines the meaning of the logits, see `probabilities_of`.
    """

    features: Any
    head: Any
    backbone: Any
    kind: HeadKind

    def __call__(self, frames: Any, valid: Any, *, training: bool = False) -> tuple[Any, Any]:
        """Logits float32 [B,K] and attention float32 [B,T] of clips."""
        frames, valid = ops.convert_to_tensor(frames), ops.convert_to_tensor(valid)
        features = self.features([frames, valid], training=training)
        logits, attention = self.head([features, valid], training=training)[:2]
        return logits, attention

    @property
    def variables(self) -> list[Any]:
        """All variables, including the random state of dropout, in a fixed order."""
        return [*self.features.variables, *self.head.variables]


def build_network(config: TrainConfig, num_labels: int, *, is_pretrained: bool) -> Network:
    """Build the network of a config; `is_pretrained` loads the published weights of the backbone."""
    spec, head = config.clip, config.head
    # Only the backbone, which does most of the work, uses half precision; sums over time stay float32.
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.precision)
    try:
        backbone = build_backbone(config.backbone, backbone_clip(spec, config.motion_crop), is_pretrained=is_pretrained)
    finally:
        keras.config.set_dtype_policy(before)
    features = build_features(backbone, config)
    teacher_width = 0 if config.teacher is None else teacher_feature_width(config.teacher.backbone)
    shape = HeadShape(spec.num_frames, features.output_shape[1], features.output_shape[2], num_labels, teacher_width)
    return Network(features, HEADS[config.architecture](shape, head), backbone, head.kind)


def probabilities_of(logits: Any, kind: HeadKind) -> Any:
    """The probabilities of logits [B,K]: a softmax that sums to 1, or independent sigmoids for `multi_label`."""
    return ops.sigmoid(logits) if kind == "multi_label" else ops.softmax(logits, axis=-1)
