"""Which layers of the backbone a training stage trains."""

from typing import Any

import keras

from model_training.config import StageConfig
from model_training.networks.backbones.build import block_of, blocks_of
from model_training.networks.network import Network


def set_trainable(network: Network, stage: StageConfig) -> None:
    """Settle which of the backbone's layers learn, and whether its batch-norm layers do."""
    first = 0
    if stage.backbone == "last_blocks":
        blocks = blocks_of(network.backbone)
        first = blocks[-min(stage.num_backbone_blocks, len(blocks))] if stage.num_backbone_blocks else len(blocks)
    for layer in network.backbone.layers:
        is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        is_fixed = is_batch_norm and stage.batch_norm == "frozen"
        layer.trainable = stage.backbone != "frozen" and block_of(layer.name) >= first and not is_fixed


def trainable_variables(network: Network, stage: StageConfig) -> list[Any]:
    """The variables that the stage trains."""
    head: list[Any] = network.head.trainable_variables
    return head if stage.backbone == "frozen" else [*network.features.trainable_variables, *head]
