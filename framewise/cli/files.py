"""The files that a command line names: paths, folders, patterns, and `-` for standard input."""

import glob
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from framewise.client.video_source import VideoSource
from framewise.schemas.video_suffixes import VIDEO_SUFFIXES

STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class InputFile:
    """One video of the command line, or a name that leads to none and then has a `fault`."""

    path: Path
    fault: str | None = None

    @property
    def name(self) -> str:
        """The name as it is printed: bytes that are no UTF-8 become escapes."""
        return shown(self.path)

    @property
    def source(self) -> VideoSource:
        """The video for the client.

        Raises:
            OSError: there is no video under this name.
        """
        if self.fault is not None:
            raise OSError(self.fault)
        if str(self.path) != STANDARD_INPUT:
            return self.path
        if sys.stdin.isatty():
            raise OSError("standard input is a terminal; send a video into it")
        # Unbuffered, so that a silent pipe is noticed.
        return os.fdopen(sys.stdin.fileno(), "rb", buffering=0, closefd=False)


def input_files(arguments: list[Path]) -> list[InputFile]:
    """Every video that the arguments name, in their order; those of a folder by name.

    A folder stands for the files below it that end like videos, a pattern that is no file for the files it matches.
    """
    return [file for argument in arguments for file in _expanded(argument)]


def shown(path: Path) -> str:
    """The path as text that every output can hold."""
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")


def require_regular_file(path: Path) -> Path:
    """The path; raises OSError unless it is a regular file."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file; save the video first")
    return path


def _expanded(argument: Path) -> Iterator[InputFile]:
    text = str(argument)
    if text == STANDARD_INPUT or not (argument.is_dir() or (glob.has_magic(text) and not os.path.lexists(text))):
        yield InputFile(argument)
        return
    if argument.is_dir():
        found = sorted(path for path in argument.rglob("*") if _is_shown_video(path, argument))
        fault = "the folder has no file that ends like a video"
    else:
        found = sorted(Path(match) for match in glob.iglob(text, recursive=True))  # noqa: PTH207 - an absolute pattern
        found = [path for path in found if not path.is_dir()]
        fault = "no file matches the pattern"
    yield from (InputFile(path) for path in found)
    if not found:
        yield InputFile(argument, fault)


def _is_shown_video(path: Path, folder: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in VIDEO_SUFFIXES and not is_hidden and path.is_file()
