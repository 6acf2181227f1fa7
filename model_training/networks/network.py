"""The whole network: backbone, preprocessing and head."""

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
    """`features`: (uint8 [B,T,H,W,3], bool [B,T]) -> float32 [B,S,F], S = T over the frames of a step.

    `head`: (features, bool [B,T]) -> logits float32 [B,K] and attention float32 [B,T]; with a teacher, also what
    the network makes of its distillation_target, float32 [B,D].
    `backbone` is the CNN inside `features`; `kind` says what the logits mean.
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
        """Every number that makes the network what it is, random state included, in a fixed order."""
        return [*self.features.variables, *self.head.variables]


def build_network(config: TrainConfig, num_labels: int, *, is_pretrained: bool) -> Network:
    """The network a config describes, its backbone's published weights loaded if asked for."""
    spec, head = config.clip, config.head
    # Half precision is for the backbone, where the work is; all that is summed over time stays float32.
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
    """What logits [B,K] mean: one label of all (they sum to 1), or each label for itself."""
    return ops.sigmoid(logits) if kind == "multi_label" else ops.softmax(logits, axis=-1)
