"""The trainable state of one stage: network, variables, optimiser and averaged weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from model_training.config import StageConfig, TrainConfig
from model_training.datasets.labels import clip_targets
from model_training.networks.features import split_features
from model_training.networks.network import Network
from model_training.training.checkpoint import assign, values_of
from model_training.training.distillation import distillation_scale
from model_training.training.freezing import set_trainable, trainable_variables
from model_training.training.losses import label_weights
from model_training.training.optimisers import build_optimiser
from model_training.training.plan import TrainingPlan
from model_training.training.pruning import kernels_of, pruned


class ForwardPass(Protocol):
    """Maps the inputs of a stage's batches to the outputs of the head."""

    def __call__(self, inputs: Any, valid: Any, *, training: bool) -> Sequence[Any]:
        """Logits float32 [B,K] and attention float32 [B,T]; with a teacher also its predicted features [B,D]."""
        ...


@dataclass(frozen=True, slots=True)
class TrainState:
    """The network, optimiser and loss weights of one stage.

    `averages` are the exponential moving averages of `variables`; empty without EMA. `label_weights` float32 [K].
    `distillation_scale`: mean and standard deviation float32 [D] of the distillation targets; None without a teacher.
    """

    config: TrainConfig
    stage: StageConfig
    network: Network
    forward: ForwardPass
    variables: Sequence[Any]
    optimiser: Any
    averages: Sequence[Any]
    label_weights: NDArray[Any]
    distillation_scale: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    @property
    def optimiser_variables(self) -> list[Any]:
        """The variables outside the network that training changes, in a fixed order: optimiser, then averages."""
        return [*self.optimiser.variables, *self.averages]


def build_train_state(plan: TrainingPlan, network: Network, stage: StageConfig, strategy: Any) -> TrainState:
    """Freeze the network as `stage` says, and build its optimiser and averages."""
    config = plan.config
    set_trainable(network, stage)
    variables = trainable_variables(network, stage)
    with strategy.scope():
        optimiser = build_optimiser(config.optimiser)
        optimiser.build(variables)
        averages = [keras.Variable(variable.value.numpy(), trainable=False) for variable in variables]
    return TrainState(
        config=config,
        stage=stage,
        network=network,
        forward=_forward_pass(network, config, stage),
        variables=variables,
        optimiser=optimiser,
        averages=averages if config.optimiser.ema_decay else [],
        label_weights=label_weights(
            clip_targets(plan.training, plan.labels, config.head.kind), config.head.kind, config.loss
        ),
        distillation_scale=None if config.teacher is None else distillation_scale(plan.training),
    )


@contextmanager
def averaged_weights(state: TrainState, pruned_fraction: float) -> Iterator[None]:
    """Give the network its averaged weights inside the context, pruned to `pruned_fraction`; no-op without EMA."""
    if not state.averages:
        yield
        return
    trained = values_of(state.variables)
    for variable, average in zip(state.variables, state.averages, strict=True):
        is_pruned = pruned_fraction > 0 and kernels_of([variable])
        variable.assign(pruned(average.value, pruned_fraction) if is_pruned else average.value)
    yield
    assign(state.variables, trained)


def _forward_pass(network: Network, config: TrainConfig, stage: StageConfig) -> ForwardPass:
    """The part of the network above the stage's batches, which hold frames, stored maps or stored features."""
    num_blocks = stage.num_blocks_above_stored
    if num_blocks == 0:
        return lambda features, valid, *, training: network.head([features, valid], training=training)
    above = network.features if num_blocks is None else split_features(network.backbone, config, num_blocks)[1]
    return lambda inputs, valid, *, training: network.head(
        [above([inputs, valid], training=training), valid], training=training
    )
