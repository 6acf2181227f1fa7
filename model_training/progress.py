"""What a person sees while training: bars with loss, accuracy and time left, one line per epoch."""

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
_NUM_LINES = 10
"""Without a terminal there are no bars, but a line whenever another tenth is done."""


class RunProgress:
    """The display of one command; a context manager. Writes to standard error only."""

    def __init__(self) -> None:
        # Names of files and labels are no markup, whatever brackets and colons they hold.
        self.console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
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

    def log(self, sentence: str) -> None:
        """One line above the bars."""
        self.console.print(sentence, soft_wrap=True)

    @contextmanager
    def bar(self, description: str, total: int, unit: str = "") -> Iterator[Callable[..., None]]:
        """A bar over `total` things; call what it yields as each is done, or with how many were."""
        task = self._bars.add_task(description, total=total, figures=unit)
        num_done = 0

        def advance(count: int = 1) -> None:
            nonlocal num_done
            lines_before = num_done * _NUM_LINES // total
            num_done += count
            self._bars.advance(task, count)
            if not self.console.is_terminal and num_done * _NUM_LINES // total > lines_before:
                self.log(f"{description}: {num_done} of {total} {unit}".rstrip())

        yield advance
        self._bars.remove_task(task)

    def timed_batches(self, batches: Iterable[AnyBatch]) -> Iterator[AnyBatch]:
        """The same batches; how long each was waited for is shown with the steps."""
        self._speed = _Speed()
        asked_at = time.perf_counter()
        for batch in batches:
            given_at = time.perf_counter()
            self._speed.waited_seconds += given_at - asked_at
            yield batch
            asked_at = time.perf_counter()
            self._speed.worked_seconds += asked_at - given_at
            self._speed.num_clips += len(batch.targets)

    def start_stage(self, stage: StageConfig, steps_per_epoch: int, progress: RunState) -> None:
        """Open the bar of a stage, as far along as `progress` says."""
        if self._stage_bar is not None:
            self._bars.remove_task(self._stage_bar)
        self._steps_per_epoch = steps_per_epoch
        self._stage_bar = self._bars.add_task(
            f"stage {stage.name}",
            total=stage.num_epochs * steps_per_epoch,
            completed=progress.epoch * steps_per_epoch + progress.step,
            figures="",
        )

    def show_step(self, progress: RunState) -> None:
        """One more training step is done."""
        assert self._stage_bar is not None
        self._bars.update(
            self._stage_bar,
            completed=progress.epoch * self._steps_per_epoch + progress.step,
            figures=f"loss {progress.loss_sum / progress.num_seen:.3f}"
            f" accuracy {progress.num_correct / progress.num_seen:.3f} {self._speed}",
        )

    def show_epoch(self, progress: RunState) -> None:
        """One more epoch is done."""
        entry = progress.history[-1]
        mark = " *" if progress.epochs_since_best == 0 else ""
        self.console.print(
            f"{entry['stage']} epoch {entry['epoch'] + 1}: loss {entry['loss']:.3f} accuracy {entry['accuracy']:.3f}"
            f" | validation loss {entry['validation_loss']:.3f} accuracy {entry['validation_accuracy']:.3f}{mark}"
            f" | {self._speed}",
            soft_wrap=True,
        )


class _Speed:
    """How fast an epoch's steps go, and which share of the time they wait for their batch."""

    def __init__(self) -> None:
        self.waited_seconds = 0.0
        self.worked_seconds = 0.0
        self.num_clips = 0

    def __str__(self) -> str:
        seconds = self.waited_seconds + self.worked_seconds
        if seconds == 0:
            return ""
        return f"{self.num_clips / seconds:.1f} clips/s, {self.waited_seconds / seconds:.0%} waiting for data"
