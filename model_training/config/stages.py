"""Options of optimisation: optimiser, loss and the stages of training."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from model_training.config.part import ConfigPart


class OptimiserConfig(ConfigPart):
    """Optimiser, learning-rate schedule, gradient clipping and weight averaging."""

    kind: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(default=0.01, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Used by `sgd` only."""
    max_gradient_norm: float | None = Field(default=1.0, gt=0)
    decay: Literal["cosine", "step", "none"] = "cosine"
    warmup_fraction: float = Field(default=0.05, ge=0, lt=1)
    """Fraction of a stage's steps over which the learning rate rises from 0."""
    step_decay_factor: float = Field(default=0.3, gt=0, le=1)
    num_step_decays: int = Field(default=2, ge=1)
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Exponential moving average: weights averaged over about 1 / (1 - `ema_decay`) steps are validated and kept."""


class LossConfig(ConfigPart):
    """The loss that training minimises."""

    kind: Literal["cross_entropy", "focal"] = "cross_entropy"
    focal_gamma: float = Field(default=2.0, ge=0)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    is_class_balanced: bool = True
    """Weight each label by the inverse of its frequency among the training clips."""
    attention_weight: float = Field(default=0.0, ge=0)
    """Weight of -log(attention inside the event), for examples whose event times are annotated."""


class StageConfig(ConfigPart):
    """A stage of training. Stages run in order; each starts from the weights that the previous stage kept."""

    former_names: ClassVar[Mapping[str, str]] = {"pruned_share": "pruned_fraction"}

    name: str
    num_epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    backbone: Literal["frozen", "last_blocks", "all"]
    num_backbone_blocks: int = Field(default=0, ge=0)
    """With `last_blocks`: the number of trained blocks, counted from the output."""
    batch_norm: Literal["frozen", "updated"] = "frozen"
    """Whether the backbone's batch-norm statistics and scales are updated."""
    are_lower_blocks_stored: bool = False
    """With `last_blocks`: whether the frozen blocks below process a few augmented copies of each clip once, as a
    frozen backbone does, instead of new copies in every epoch. An epoch then only pays for the trained blocks."""
    num_feature_views: int = Field(default=8, ge=1)
    """With a frozen backbone or stored lower blocks: the number of augmented copies of each clip. Epochs use the
    copies in turn."""
    patience_epochs: int = Field(default=10, ge=1)
    """Early stopping: the stage ends after this many epochs without a lower validation loss."""
    kept_epoch: Literal["best", "last"] = "best"
    """The weights that the stage ends with: of the lowest validation loss, or of the last epoch. With few
    validation videos the best epoch is chance, and a decaying learning rate converges without it."""
    pruned_fraction: float = Field(default=0, ge=0, lt=1)
    """Magnitude pruning: the fraction of each kernel's parameters, the smallest, that are 0 at the end of the stage.
    It rises over the first half of the stage's steps; only later epochs can be the best."""

    @property
    def num_blocks_above_stored(self) -> int | None:
        """Number of the backbone's last blocks that train on stored features; None if no features are stored."""
        if self.backbone == "frozen":
            return 0
        return self.num_backbone_blocks if self.are_lower_blocks_stored else None

    @model_validator(mode="after")
    def _stores_frozen_blocks_only(self) -> Self:
        if self.are_lower_blocks_stored and (self.backbone != "last_blocks" or not self.num_backbone_blocks):
            raise ValueError('are_lower_blocks_stored is for backbone="last_blocks" with some num_backbone_blocks')
        return self
