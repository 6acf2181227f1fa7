"""Writes a network as a SavedModel."""

import errno
import shutil
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from model_training.config import TrainConfig
from model_training.networks.batch_norm_folding import fold_batch_norm
from model_training.networks.network import Network, probabilities_of


def save_graph(network: Network, config: TrainConfig, temperature: float, directory: Path) -> None:
    """Write the SavedModel of the network that `config` describes: one signature, `serving_default`.

    Inputs `frames` uint8 [B,T,H,W,3] and `valid` bool [B,T]; outputs `probabilities` float32 [B,K] and
    `attention` float32 [B,T]. The clips of a batch are worked on one by one inside the graph, so a
    clip's answer is the same, bit for bit, in a batch of any size. Its numbers are kept in the config's
    `stored_precision`, and widened to float32 before anything is computed; batch normalisation is folded.

    Raises:
        OSError: the disk does not take it.
    """
    spec, answering = config.clip, fold_batch_norm(network, config)
    # Of the rest, states of random generators, answering has no use.
    stored = [
        (variable, tf.Variable(tf.cast(variable.value, config.stored_precision), trainable=False))
        for variable in answering.variables
        if variable.dtype == "float32"
    ]

    def serve(frames: Any, valid: Any) -> dict[str, Any]:
        # Widened once for all clips of a batch.
        numbers = [(variable, tf.cast(value, variable.dtype)) for variable, value in stored]

        def answer_clip(clip: tuple[Any, Any]) -> tuple[Any, Any]:
            with keras.StatelessScope(state_mapping=numbers):
                logits, attention = answering(clip[0][None], clip[1][None])
            return probabilities_of(logits / temperature, answering.kind)[0], attention[0]

        probabilities, attention = tf.map_fn(
            answer_clip, (frames, valid), fn_output_signature=(tf.float32, tf.float32), parallel_iterations=1
        )
        return {"probabilities": probabilities, "attention": attention}

    module = tf.Module()
    module.network_variables = [value for _, value in stored]
    shape = (None, spec.num_frames, spec.height, spec.width, 3)
    signature = tf.function(
        serve,
        input_signature=[
            tf.TensorSpec(shape, tf.uint8, name="frames"),
            tf.TensorSpec(shape[:2], tf.bool, name="valid"),
        ],
        autograph=False,
    ).get_concrete_function()
    options = tf.saved_model.SaveOptions(experimental_debug_stripper=True)
    try:
        tf.saved_model.save(module, str(directory), signatures={"serving_default": signature}, options=options)
    except tf.errors.OpError as error:
        # TensorFlow's message begins with the file and ends with what the system said of it.
        raise OSError(errno.EIO, " ".join(error.message.split()), str(directory)) from error
    shutil.rmtree(directory / "assets", ignore_errors=True)
