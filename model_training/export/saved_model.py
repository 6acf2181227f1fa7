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
    `attention` float32 [B,T]. The graph processes the clips of a batch one by one, so a clip's output is
    bit-identical in a batch of any size. Parameters are stored in the config's `stored_precision` and cast to
    float32 before use; batch normalisation is folded.

    Raises:
        OSError: the disk is full, or the directory is not writable.
    """
    spec, inference_network = config.clip, fold_batch_norm(network, config)
    # The other variables are states of random generators, which inference does not use.
    stored = [
        (variable, tf.Variable(tf.cast(variable.value, config.stored_precision), trainable=False))
        for variable in inference_network.variables
        if variable.dtype == "float32"
    ]

    def serve(frames: Any, valid: Any) -> dict[str, Any]:
        # Cast once for all clips of a batch.
        parameters = [(variable, tf.cast(value, variable.dtype)) for variable, value in stored]

        def predict_clip(clip: tuple[Any, Any]) -> tuple[Any, Any]:
            with keras.StatelessScope(state_mapping=parameters):
                logits, attention = inference_network(clip[0][None], clip[1][None])
            return probabilities_of(logits / temperature, inference_network.kind)[0], attention[0]

        probabilities, attention = tf.map_fn(
            predict_clip, (frames, valid), fn_output_signature=(tf.float32, tf.float32), parallel_iterations=1
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
        # TensorFlow's message contains the file and the system's error.
        raise OSError(errno.EIO, " ".join(error.message.split()), str(directory)) from error
    shutil.rmtree(directory / "assets", ignore_errors=True)
