"""A run's figures as TensorBoard reads them. Only looking at them needs TensorBoard itself installed."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tensorflow as tf

_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
    data_class="DATA_CLASS_SCALAR",
)


class EventFile:
    """Scalars by name and step in `directory`; a context manager. A resumed run adds a file of its own."""

    def __init__(self, directory: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(directory))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def write(self, step: int, figures: dict[str, Any]) -> None:
        """Put down the figures of one step."""
        with self._writer.as_default(step=step):
            for name, value in figures.items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=_SCALAR)
