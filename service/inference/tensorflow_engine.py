"""Runs SavedModels with TensorFlow. The only module of the service that imports TensorFlow."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

# TensorFlow reads it at import. Errors that it no longer logs are raised as exceptions anyway.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Off by default on processors without AVX-512, although it is a quarter faster there too. Training sets the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
from numpy.typing import NDArray

from service.inference.errors import InvalidModel
from service.inference.manifest import Manifest

_TENSORFLOW_LOG = re.compile(rb"WARNING: All log messages before absl|[IW][0-9]{4} ")

_STANDARD_ERROR = 2


@contextmanager
def _without_tensorflow_logs() -> Iterator[None]:
    """Remove TensorFlow's import messages from standard error, where the service writes JSON lines only.

    No setting silences these messages. Other lines are written when the block ends.
    """
    with tempfile.TemporaryFile() as captured:
        original = os.dup(_STANDARD_ERROR)
        os.dup2(captured.fileno(), _STANDARD_ERROR)
        try:
            yield
        finally:
            os.dup2(original, _STANDARD_ERROR)
            os.close(original)
            captured.seek(0)
            for line in captured:
                if not _TENSORFLOW_LOG.match(line):
                    os.write(_STANDARD_ERROR, line)


with _without_tensorflow_logs():
    import tensorflow as tf


def configure_threads(num_threads: int) -> int:
    """Limit TensorFlow to `num_threads` processor threads; returns the number of concurrent calls that keep them busy.

    Must run before the first model is loaded. Each call may use all threads, which gives a single call the lowest
    latency. Concurrent calls use the threads that single-threaded operations leave idle. A GPU runs one call at a time.
    """
    _disable_thread_spinning()
    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    num_batch_threads = 1 if tf.config.list_physical_devices("GPU") else num_threads
    # The operations of a call depend on each other, so each call needs one of these threads.
    tf.config.threading.set_inter_op_parallelism_threads(num_batch_threads)
    return num_batch_threads


def _disable_thread_spinning() -> None:
    """Make TensorFlow's threads sleep while they wait, if this release supports it; by default they spin.

    Decode workers share the cores with these threads: spinning cost a tenth more processor time per video
    (docs/performance.md).
    """
    with suppress(ImportError, AttributeError):
        # No public API sets it: `tf.config` lacks the option, and eager mode ignores session configurations.
        from tensorflow.python.eager import context  # noqa: PLC0415

        config = tf.compat.v1.ConfigProto()
        config.experimental.disable_thread_spinning = True
        context.context()._config = config  # noqa: SLF001


class SavedModelEngine:
    """One SavedModel, called through its `serving_default` signature."""

    name = "tensorflow"
    max_difference = float("inf")

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        """Load the model in `directory`; takes seconds.

        Raises:
            InvalidModel: the directory holds no SavedModel, or its signature is not the expected one.
        """
        try:
            self._module = tf.saved_model.load(str(directory))
            self._signature = self._module.signatures["serving_default"]
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            raise InvalidModel(f"{directory}: not a SavedModel that TensorFlow can load: {error}") from error
        clip = manifest.clip
        found = {name: (spec.dtype, spec.shape.as_list()) for name, spec in self._inputs().items()}
        expected = {
            "frames": (tf.uint8, [None, clip.num_frames, clip.height, clip.width, 3]),
            "valid": (tf.bool, [None, clip.num_frames]),
        }
        if found != expected:
            raise InvalidModel(f"{directory}: the inputs are {found}, expected {expected}")

    def _inputs(self) -> "dict[str, tf.TensorSpec]":
        inputs: dict[str, tf.TensorSpec] = self._signature.structured_input_signature[1]
        return inputs

    @property
    def device(self) -> Literal["cpu", "gpu"]:
        """`gpu` if TensorFlow sees a GPU, otherwise `cpu`."""
        return "gpu" if tf.config.list_logical_devices("GPU") else "cpu"

    def run(
        self, frames: NDArray[np.uint8], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run a batch: frames uint8 [B, T, H, W, 3], valid bool [B, T] -> [B, K], [B, T]. Blocks."""
        outputs = self._signature(frames=tf.constant(frames), valid=tf.constant(valid))
        return outputs["probabilities"].numpy(), outputs["attention"].numpy()
