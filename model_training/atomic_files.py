"""Files that appear whole or not at all."""

import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from model_training.errors import TrainingError

TORN_FILE_ERRORS = (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error)
"""What reading a file of arrays may raise where there is none, or a power cut left a part of it."""


def check_writable(*paths: Path | None) -> None:
    """Nothing, if files can be put in all `paths`: better known before hours of work than after.

    Raises:
        TrainingError: one lies in no folder, is one, or may not be written.
    """
    for path in paths:
        if path is None:
            continue
        if not path.parent.is_dir():
            raise TrainingError(f"{path}: cannot be written: there is no folder {path.parent}")
        if path.is_dir():
            raise TrainingError(f"{path}: cannot be written: it is a folder")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise TrainingError(f"{path}: cannot be written: not allowed")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` when the context ends well and is gone otherwise.

    It is this process's own, so that several may write the same file at once. Raises OSError where it cannot.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays in an `.npz` file; None where there is no such file, or one that a power cut tore."""
    try:
        # Opened here, or the file would stay open where it is torn.
        with path.open("rb") as file, np.load(file) as stored:
            return dict(stored)
    except TORN_FILE_ERRORS:
        return None


def write_atomically(texts: Mapping[Path, str]) -> None:
    """Put each text in its file: all of them, or, where the disk has no place, none; what was there stays till then.

    Raises:
        TrainingError: one cannot be written.
    """
    # What is no file, as /dev/null, can neither be half there nor be replaced.
    files = [path for path in texts if path.is_file() or not path.exists()]
    path = None
    try:
        with ExitStack() as stack:
            # The last one entered is the first put in its place: files appear in the order of `texts`.
            partials = {path: stack.enter_context(atomic_path(path)) for path in reversed(files)}
            for path, text in texts.items():
                partials.get(path, path).write_text(text, encoding="utf-8")
    except OSError as error:
        # Where one cannot be put in its place, the system names that.
        raise TrainingError(f"{error.filename2 or path}: cannot be written: {error.strerror}") from error
