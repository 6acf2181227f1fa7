"""Formats a command line for model cards and records."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path


def command_line(command: str, config: Path, options: Sequence[str], flags: Mapping[str, bool], *last: str) -> str:
    """The text of a command with DIR for the data: `options`, then the flags that are set, then `last`."""
    set_flags = [flag for flag, is_set in flags.items() if is_set]
    arguments = ["--config", config.as_posix(), "--data", "DIR", *options, *set_flags, *last]
    return shlex.join(["python", "-m", "model_training", command, *arguments])
