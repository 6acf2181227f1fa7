"""Distributed training: one device, all devices of this machine, or several machines."""

from typing import Any

import tensorflow as tf

from model_training.config import TrainConfig


def strategy_of(config: TrainConfig) -> Any:
    """The `tf.distribute` strategy of a config.

    `multi_worker` reads `TF_CONFIG` and blocks until the other machines connect. It must be called before any
    TensorFlow computation.
    """
    match config.distribution:
        case "one":
            return tf.distribute.get_strategy()
        case "mirrored":
            devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
            return tf.distribute.MirroredStrategy([device.name for device in devices])
        case "multi_worker":
            return tf.distribute.MultiWorkerMirroredStrategy()


def is_chief(config: TrainConfig) -> bool:
    """Whether this process writes checkpoints and exports the model."""
    return worker_index(config) == 0


def worker_index(config: TrainConfig) -> int:
    """The index of this process among the workers of a run; the chief is 0."""
    if config.distribution != "multi_worker":
        return 0
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    has_chief = "chief" in resolver.cluster_spec().jobs
    return int(resolver.task_id) + int(has_chief and resolver.task_type != "chief")


def replica_slice(arrays: tuple[Any, ...], num_replicas: int) -> tuple[tuple[Any, ...], Any]:
    """The replica's part of a global batch, and the weight float32 [B] of each of its clips.

    Call it inside a replica. All parts have the same length: if the batch size is not divisible, the last parts are
    padded with the first clips, whose weight is then 0.
    """
    num_clips = tf.shape(arrays[0])[0]
    length = -(-num_clips // num_replicas)
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    positions = tf.range(replica * length, (replica + 1) * length)
    if num_replicas == 1:
        return arrays, tf.ones((num_clips,), tf.float32)
    weights = tf.cast(positions < num_clips, tf.float32)
    return tuple(tf.gather(array, positions % num_clips) for array in arrays), weights


def sum_over_replicas(gradients: list[Any]) -> list[Any]:
    """Sum each gradient over all replicas; call it inside a replica."""
    context = tf.distribute.get_replica_context()
    summed: list[Any] = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    return summed
