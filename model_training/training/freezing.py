"""Freezes the layers of the backbone that a training stage does not train."""

from typing import Any

import keras

from model_training.config import StageConfig
from model_training.networks.backbones.build import block_of, blocks_of
from model_training.networks.network import Network


def set_trainable(network: Network, stage: StageConfig) -> None:
    """Set `trainable` of each backbone layer as the stage says; batch-norm layers may stay frozen."""
    first_block = 0
    if stage.backbone == "last_blocks":
        blocks = blocks_of(network.backbone)
        first_block = blocks[-min(stage.num_backbone_blocks, len(blocks))] if stage.num_backbone_blocks else len(blocks)
    for layer in network.backbone.layers:
        is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        is_frozen = is_batch_norm and stage.batch_norm == "frozen"
        layer.trainable = stage.backbone != "frozen" and block_of(layer.name) >= first_block and not is_frozen


def trainable_variables(network: Network, stage: StageConfig) -> list[Any]:
    """The variables that the stage trains."""
    head: list[Any] = network.head.trainable_variables
    return head if stage.backbone == "frozen" else [*network.features.trainable_variables, *head]
