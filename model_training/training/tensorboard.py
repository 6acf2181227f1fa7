"""Writes a run's metrics as TensorBoard events; TensorBoard itself is needed only to view them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tensorflow as tf

from model_training.errors import TrainingError

_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
    data_class="DATA_CLASS_SCALAR",
)


class EventFile:
    """A context manager that writes scalars to an event file in `directory`; a resumed run adds another file.

    Its methods raise `TrainingError` if the file cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with self._writing():
            self._writer = tf.summary.create_file_writer(str(directory))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An error that ended the run must not be hidden by an error of this file.
        with self._writing() if error is None else suppress(tf.errors.OpError):
            self._writer.close()

    def write(self, step: int, metrics: dict[str, Any]) -> None:
        """Write the metrics of one step."""
        with self._writing(), self._writer.as_default(step=step):
            for name, value in metrics.items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=_SCALAR)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            reason = str(error).splitlines()[0].rsplit("; ", 1)[-1]
            raise TrainingError(f"{self._directory}: cannot write TensorBoard events: {reason}") from error
