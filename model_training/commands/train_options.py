"""Options and validated inputs of the command `train`."""

from dataclasses import dataclass
from pathlib import Path

from model_training.commands.command_line import command_line
from model_training.config import TrainConfig
from model_training.datasets.examples import Example
from model_training.evaluation.results import CrossValidation


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """Options of `train`. `models` is where models are exported, `runs` holds the clip cache and checkpoints."""

    config: Path
    data: Path
    models: Path
    runs: Path
    version: str | None = None
    """None: the next free version."""
    cross_validation: Path | None = None
    """A record of `cross-validate` whose metrics the card shows."""
    skip_unreadable: bool = False
    allow_leakage: bool = False

    @property
    def cache(self) -> Path:
        """The directory of decoded clips."""
        return self.runs / "cache"

    @property
    def command(self) -> str:
        """The command line that repeats this run, with DIR for the data and FILE for the record."""
        options = [] if self.cross_validation is None else ["--cross-validation", "FILE"]
        flags = {"--skip-unreadable": self.skip_unreadable, "--allow-leakage": self.allow_leakage}
        return command_line("train", self.config, options, flags)


@dataclass(frozen=True, slots=True)
class TrainInputs:
    """The validated inputs of `train`, before any video is decoded."""

    config: TrainConfig
    examples: list[Example]
    cross_validation: CrossValidation | None
    version: str
