"""Where a run's steps are worked out: on one device, on all of this machine, or on several machines."""

from typing import Any

import tensorflow as tf

from model_training.config import TrainConfig


def strategy_of(config: TrainConfig) -> Any:
    """The `tf.distribute` strategy a config asks for.

    `multi_worker` reads `TF_CONFIG`, waits for the other machines, and must come before TensorFlow computes
    anything.
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
    """Whether this process is the one that writes what a run leaves behind."""
    return worker_number(config) == 0


def worker_number(config: TrainConfig) -> int:
    """Which of the processes of a run this is; the chief is 0."""
    if config.distribution != "multi_worker":
        return 0
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    has_chief = "chief" in resolver.cluster_spec().jobs
    return int(resolver.task_id) + int(has_chief and resolver.task_type != "chief")


def own_share(arrays: tuple[Any, ...], num_replicas: int) -> tuple[tuple[Any, ...], Any]:
    """In a replica: its part of a batch that every replica was given whole, and what each of its clips counts.

    Parts are equally long. Where a batch does not divide, the last places repeat its first clips and count 0.
    """
    num_clips = tf.shape(arrays[0])[0]
    length = -(-num_clips // num_replicas)
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    places = tf.range(replica * length, (replica + 1) * length)
    if num_replicas == 1:
        return arrays, tf.ones((num_clips,), tf.float32)
    return tuple(tf.gather(array, places % num_clips) for array in arrays), tf.cast(places < num_clips, tf.float32)


def summed_over_replicas(gradients: list[Any]) -> list[Any]:
    """In a replica: each gradient, summed over all of them."""
    context = tf.distribute.get_replica_context()
    summed: list[Any] = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    return summed
