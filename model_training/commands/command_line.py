"""The command line that started this process, for the record."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path


def command_line(command: str, config: Path, options: Sequence[str], flags: Mapping[str, bool], *last: str) -> str:
    """A command as it is told on cards, with DIR for the data: `options`, then the flags that were given."""
    given = [flag for flag, is_given in flags.items() if is_given]
    whole = ["--config", config.as_posix(), "--data", "DIR", *options, *given, *last]
    return shlex.join(["python", "-m", "model_training", command, *whole])
