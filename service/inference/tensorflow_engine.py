"""SavedModel in, probabilities and attention out. The only module of the service that imports TensorFlow."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

# Read when TensorFlow is imported. Its errors are raised as well.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Off by default on processors without AVX-512, where it is a quarter faster too; training sets the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
from numpy.typing import NDArray

from service.inference.errors import InvalidModel
from service.inference.manifest import Manifest

_CHATTER = re.compile(rb"WARNING: All log messages before absl|[IW][0-9]{4} ")

_STANDARD_ERROR = 2


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Hold back standard error; afterwards let out all but TensorFlow's own notes, which are no JSON.

    What it says while it is imported heeds no setting.
    """
    with tempfile.TemporaryFile() as held:
        kept = os.dup(_STANDARD_ERROR)
        os.dup2(held.fileno(), _STANDARD_ERROR)
        try:
            yield
        finally:
            os.dup2(kept, _STANDARD_ERROR)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not _CHATTER.match(line):
                    os.write(_STANDARD_ERROR, line)


with _without_chatter():
    import tensorflow as tf


def use_threads(num_threads: int) -> int:
    """Let TensorFlow use `num_threads` processor threads, and say how many calls at a time keep them busy.

    Call it before the first model is loaded. Every call may use all threads: alone it is soonest done, and several
    fill what each leaves idle, since some of its operations have work for one thread only. A GPU works on one call.
    """
    _let_waiting_threads_sleep()
    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    concurrent_calls = 1 if tf.config.list_physical_devices("GPU") else num_threads
    # A call's operations depend on each other, so it needs one of these threads; with fewer, calls would take turns.
    tf.config.threading.set_inter_op_parallelism_threads(concurrent_calls)
    return concurrent_calls


def _let_waiting_threads_sleep() -> None:
    """Have TensorFlow's threads wait for each other asleep; where this release cannot be told so, they spin.

    A thread that spins keeps the one it waits for from its core where decode children take turns with them: a
    video then took a tenth more processor time (docs/performance.md).
    """
    with suppress(ImportError, AttributeError):
        # No public name reaches it: `tf.config` does not know of it, and a session's configuration is ignored.
        from tensorflow.python.eager import context  # noqa: PLC0415

        wanted = tf.compat.v1.ConfigProto()
        wanted.experimental.disable_thread_spinning = True
        context.context()._config = wanted  # noqa: SLF001


class SavedModelEngine:
    """One restored SavedModel, called through its fixed signature."""

    name = "tensorflow"
    largest_difference = float("inf")

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        """Load the model in `directory`; takes seconds.

        Raises:
            InvalidModel: no SavedModel, or not one of the expected signature.
        """
        try:
            self._module = tf.saved_model.load(str(directory))
            self._signature = self._module.signatures["serving_default"]
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            raise InvalidModel(f"{directory}: not a SavedModel that can be served: {error}") from error
        clip = manifest.clip
        found = {name: (spec.dtype, spec.shape.as_list()) for name, spec in self._inputs().items()}
        expected = {
            "frames": (tf.uint8, [None, clip.num_frames, clip.height, clip.width, 3]),
            "valid": (tf.bool, [None, clip.num_frames]),
        }
        if found != expected:
            raise InvalidModel(f"{directory}: the signature's inputs are {found}, not {expected}")

    def _inputs(self) -> "dict[str, tf.TensorSpec]":
        inputs: dict[str, tf.TensorSpec] = self._signature.structured_input_signature[1]
        return inputs

    @property
    def device(self) -> Literal["cpu", "gpu"]:
        """Where the model runs: on the first GPU that TensorFlow sees, if it sees one."""
        return "gpu" if tf.config.list_logical_devices("GPU") else "cpu"

    def run(
        self, frames: NDArray[np.uint8], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Answer a batch: frames uint8 [B, T, H, W, 3], valid bool [B, T] -> [B, K], [B, T]. Blocks."""
        answers = self._signature(frames=tf.constant(frames), valid=tf.constant(valid))
        return answers["probabilities"].numpy(), answers["attention"].numpy()
