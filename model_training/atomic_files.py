"""Reads and writes files atomically: a file is written completely or not at all."""

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from model_training.errors import TrainingError

TORN_FILE_ERRORS = (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error)
"""Errors from reading an `.npz` file that is missing or truncated."""


def check_writable(*paths: Path | None, inputs: Iterable[Path | None] = ()) -> None:
    """Check, before hours of work, that files can be written to all `paths`; None is skipped.

    Raises:
        TrainingError: the parent folder is missing, the path is a folder, not writable, or one of `inputs`, also
            through a link.
    """
    read = {(found.st_dev, found.st_ino) for path in inputs if path is not None and (found := _found(path)) is not None}
    for path in paths:
        if path is None:
            continue
        if not path.parent.is_dir():
            raise TrainingError(f"{path}: cannot be written: the folder {path.parent} does not exist")
        if path.is_dir():
            raise TrainingError(f"{path}: cannot be written: it is a folder")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise TrainingError(f"{path}: cannot be written: permission denied")
        if (found := _found(path)) is not None and (found.st_dev, found.st_ino) in read:
            raise TrainingError(f"{path}: cannot be written: it is an input of this command. Choose another file")


def check_absent(path: Path, *, force: bool) -> None:
    """Check that nothing would be replaced; with `force`, anything may be.

    Raises:
        TrainingError: `path` is a file, or a folder that is not empty.
    """
    if force or not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    fact = "it is not empty" if path.is_dir() else "it exists"
    raise TrainingError(f"{path}: cannot be written: {fact}. Choose another name, or replace it with --force")


def _found(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block succeeds and is deleted when it fails.

    The temporary name contains the process id, so several processes may write the same file. Raises OSError.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays in an `.npz` file; None if it is missing or truncated."""
    try:
        # NumPy leaves a file that it opened itself open when it is truncated.
        with path.open("rb") as file, np.load(file) as stored:
            return dict(stored)
    except TORN_FILE_ERRORS:
        return None


def write_atomically(texts: Mapping[Path, str]) -> None:
    """Write each text to its file: all files or, if the disk is full, none.

    Raises:
        TrainingError: a file cannot be written.
    """
    # A device such as /dev/null cannot be replaced: it is written directly.
    files = [path for path in texts if path.is_file() or not path.exists()]
    path = None
    try:
        with ExitStack() as stack:
            # The stack unwinds in reverse: files appear in the order of `texts`.
            partials = {path: stack.enter_context(atomic_path(path)) for path in reversed(files)}
            for path, text in texts.items():
                partials.get(path, path).write_text(text, encoding="utf-8")
    except OSError as error:
        # A failed rename names its target in `filename2`.
        raise TrainingError(f"{error.filename2 or path}: cannot be written: {error.strerror}") from error
