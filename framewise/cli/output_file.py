"""Files that the commands write: never over an input, and over another file only with `--force`."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from framewise.cli.files import STANDARD_INPUT, shown
from framewise.cli.terminal import refuse


def require_writable(target: Path, sources: Iterable[Path], *, force: bool) -> None:
    """End the command with status 2 unless `target` may be written.

    It may not if it is one of `sources`, also through a link; if it exists and not `force`; if it is a folder; or if
    its folder does not exist.
    """
    if any(_is_same_file(target, source) for source in sources if str(source) != STANDARD_INPUT):
        refuse(f"{shown(target)} is the input file itself. Choose another name for the output.")
    if target.is_dir():
        refuse(f"{shown(target)} is a folder. Name a file in it.")
    if not target.parent.is_dir():
        refuse(f"The folder {shown(target.parent)} does not exist.")
    if os.path.lexists(target) and not force:
        refuse(f"{shown(target)} exists. Choose another name, or replace it with --force.")


@contextmanager
def new_file(target: Path, *, force: bool) -> Iterator[Path]:
    """A new file beside `target`, which gets that name when the `with` block ends without an error.

    Raises:
        OSError: the folder cannot be written, or `target` came into being meanwhile and not `force`.
    """
    part = target.with_name(f".framewise-{secrets.token_hex(8)}.part")
    try:
        part.touch(exist_ok=False)
        yield part
        if not force:
            _require_absent(part, target)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _require_absent(part: Path, target: Path) -> None:
    """Take the name `target`, which fails if another program took it since the check."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise OSError(f"{shown(target)} came into being meanwhile; it is left as it is") from None
    except OSError:
        # The file system has no links.
        if os.path.lexists(target):
            raise OSError(f"{shown(target)} came into being meanwhile; it is left as it is") from None


def _is_same_file(target: Path, source: Path) -> bool:
    with suppress(OSError):
        if target.samefile(source):
            return True
    return os.path.realpath(target) == os.path.realpath(source)
