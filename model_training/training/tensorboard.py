"""A run's figures as TensorBoard reads them. Only looking at them needs TensorBoard itself installed."""

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
    """Scalars by name and step in `directory`; a context manager. A resumed run adds a file of its own.

    Raises `TrainingError` where it cannot be kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with self._told():
            self._writer = tf.summary.create_file_writer(str(directory))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Where something ended the run, that is what is to be told.
        with self._told() if error is None else suppress(tf.errors.OpError):
            self._writer.close()

    def write(self, step: int, figures: dict[str, Any]) -> None:
        """Put down the figures of one step."""
        with self._told(), self._writer.as_default(step=step):
            for name, value in figures.items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=_SCALAR)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            reason = str(error).splitlines()[0].rsplit("; ", 1)[-1]
            raise TrainingError(f"{self._directory}: cannot keep figures for TensorBoard: {reason}") from error
