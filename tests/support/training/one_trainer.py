"""Trains the small network in its own process; the distribution test starts one or two of them.

Given: the folder of the run, the file of clips, where the weights go, and the distributions to train with.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from model_training.config import Distribution, HeadConfig, StageConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.examples import Example
from model_training.progress import RunProgress
from model_training.training.loop import train_network
from model_training.training.plan import TrainingPlan
from tests.support.training.small_config import small_config


def main(directory: Path, clips_file: Path, weights_file: Path, distributions: list[Distribution]) -> None:
    """Train once for each distribution, mirrored ones on two devices, and write all weights to `weights_file`."""
    if "mirrored" in distributions:
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    clips = [
        CachedClip(Example(Path(f"{i}.mp4"), ("ab"[i % 2],), str(i)), clips_file, i, np.ones(4, bool), np.arange(4) / 2)
        for i in range(6)
    ]
    weights: dict[str, Any] = {}
    for distribution in distributions:
        run_directory = directory / distribution
        run_directory.mkdir(exist_ok=True)
        # Neither dropout nor batch statistics: these are each replica's own, and the weights would differ.
        config = small_config(
            architecture="cnn",
            distribution=distribution,
            stages=(StageConfig(name="all", num_epochs=2, learning_rate=1e-2, backbone="all", batch_norm="frozen"),),
            head=HeadConfig(feature_width=8, dropout=0.0, max_weight_norm=1.0),
        )
        with RunProgress() as display:
            # Four clips in batches of three: neither batch divides by two.
            plan = TrainingPlan(config, ("a", "b"), clips[:4], clips[4:], run_directory, display, lambda: False)
            network, _ = train_network(plan)
        numbers = [variable.value.numpy() for variable in network.variables]
        weights |= {f"{distribution}.{place}": array for place, array in enumerate(numbers)}
    np.savez(weights_file, **weights)


if __name__ == "__main__":
    run_dir, clips_path, weights_path = map(Path, sys.argv[1:4])
    main(run_dir, clips_path, weights_path, sys.argv[4:])  # type: ignore[arg-type]
