"""Progress display of the commands: bars with loss, accuracy and time left, and one line per epoch."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from model_training.config import StageConfig
from model_training.run_state import RunState


class _Clips(Protocol):
    @property
    def targets(self) -> Any: ...


AnyBatch = TypeVar("AnyBatch", bound=_Clips)
_NUM_LINES_PER_BAR = 10
"""Lines per bar when standard error is not a terminal."""


class RunProgress:
    """Progress display of one command; a context manager. Writes to standard error."""

    def __init__(self) -> None:
        # File names and labels may contain brackets and colons: they are printed literally.
        self.console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}", markup=False),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._stage_bar: TaskID | None = None
        self._speed = _Speed()
        self._steps_per_epoch = 1

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def log(self, line: str) -> None:
        """Print one line above the bars."""
        self.console.print(line, soft_wrap=True)

    @contextmanager
    def bar(self, description: str, total: int, unit: str = "") -> Iterator[Callable[..., None]]:
        """Show a bar over `total` items; yields a function that advances it by one, or by a count."""
        task = self._bars.add_task(description, total=total, metrics=unit)
        num_done = 0

        def advance(count: int = 1) -> None:
            nonlocal num_done
            lines_before = num_done * _NUM_LINES_PER_BAR // total
            num_done += count
            self._bars.advance(task, count)
            if not self.console.is_terminal and num_done * _NUM_LINES_PER_BAR // total > lines_before:
                self.log(f"{description}: {num_done} of {total} {unit}".rstrip())

        yield advance
        self._bars.remove_task(task)

    def timed_batches(self, batches: Iterable[AnyBatch]) -> Iterator[AnyBatch]:
        """Yield the batches and measure the time spent waiting for each; the display shows it with the steps."""
        self._speed = _Speed()
        requested_at = time.perf_counter()
        for batch in batches:
            received_at = time.perf_counter()
            self._speed.waited_seconds += received_at - requested_at
            yield batch
            requested_at = time.perf_counter()
            self._speed.worked_seconds += requested_at - received_at
            self._speed.num_clips += len(batch.targets)

    def start_stage(self, stage: StageConfig, steps_per_epoch: int, progress: RunState) -> None:
        """Show the bar of a stage, starting at the state in `progress`."""
        if self._stage_bar is not None:
            self._bars.remove_task(self._stage_bar)
        self._steps_per_epoch = steps_per_epoch
        self._stage_bar = self._bars.add_task(
            f"stage {stage.name}",
            total=stage.num_epochs * steps_per_epoch,
            completed=progress.epoch * steps_per_epoch + progress.step,
            metrics="",
        )

    def show_step(self, progress: RunState) -> None:
        """Update the bar after a training step."""
        assert self._stage_bar is not None
        self._bars.update(
            self._stage_bar,
            completed=progress.epoch * self._steps_per_epoch + progress.step,
            metrics=f"loss {progress.loss_sum / progress.num_seen:.3f}"
            f" accuracy {progress.num_correct / progress.num_seen:.3f} {self._speed}",
        )

    def show_epoch(self, progress: RunState) -> None:
        """Print the metrics of the epoch that ended; `*` marks a new best one."""
        entry = progress.history[-1]
        mark = " *" if progress.epochs_since_best == 0 else ""
        self.console.print(
            f"{entry['stage']} epoch {entry['epoch'] + 1}: loss {entry['loss']:.3f} accuracy {entry['accuracy']:.3f}"
            f" | validation loss {entry['validation_loss']:.3f} accuracy {entry['validation_accuracy']:.3f}{mark}"
            f" | {self._speed}",
            soft_wrap=True,
        )


class _Speed:
    """Training speed in clips per second, and the fraction of time spent waiting for batches."""

    def __init__(self) -> None:
        self.waited_seconds = 0.0
        self.worked_seconds = 0.0
        self.num_clips = 0

    def __str__(self) -> str:
        seconds = self.waited_seconds + self.worked_seconds
        if seconds == 0:
            return ""
        return f"{self.num_clips / seconds:.1f} clips/s, {self.waited_seconds / seconds:.0%} waiting for data"
