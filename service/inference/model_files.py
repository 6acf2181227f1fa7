"""The files of a model's directory, without the litter that operating systems and file servers leave there."""

import errno
import os
import stat
from pathlib import Path

MAX_TEXT_BYTES = 64 << 20
"""Largest manifest or model card."""

_LITTER = frozenset(
    {
        *("@eadir", "#recycle", "#snapshot", "lost+found"),  # file servers
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),  # Windows
        *("__macosx", "icon\r"),  # macOS
    }
)
"""Names in lower case. Every hidden name is litter too, such as `.DS_Store`, `._x`, `.nfs0001` and `..data`."""


def model_files(directory: Path) -> set[str]:
    """Paths of all regular files under `directory`, relative to it; litter is left out.

    Links are followed: a mounted ConfigMap consists of links into a hidden directory. Raises OSError.
    """
    found: set[str] = set()
    # Links may lead back to a directory above them.
    seen: set[tuple[int, int]] = set()

    def fail(error: OSError) -> None:
        raise error

    for folder, subfolders, names in os.walk(directory, onerror=fail, followlinks=True):
        status = os.stat(folder)  # noqa: PTH116 - a string of `os.walk`
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = [name for name in subfolders if not is_litter(name)]
        found |= {
            path.relative_to(directory).as_posix()
            for name in names
            if not is_litter(name) and (path := Path(folder, name)).is_file()
        }
    return found


def is_litter(name: str) -> bool:
    """Whether a file or directory of this name is no part of a model, unless its manifest lists it."""
    return name.startswith(".") or name.lower() in _LITTER


def read_regular_file(path: Path) -> bytes:
    """The content of a regular file; raises OSError for any other file, which might never end or never begin."""
    # Opening a pipe without the flag waits for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if status.st_size > MAX_TEXT_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {MAX_TEXT_BYTES} bytes")
        return file.read(MAX_TEXT_BYTES)
