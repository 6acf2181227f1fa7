"""The processes below a running service, and what they hold, from /proc."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_Value = TypeVar("_Value")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_RESIDENT_PAGES = 1
_STATE = 0
DECODE_WORKER = b"service.video.sandbox.worker"


def child_processes(process_id: int) -> set[int]:
    """Ids of the processes that the process has started and that have not been waited for."""
    # While a thread or one of its child processes ends, the list of the system may be incomplete.
    tasks = Path(f"/proc/{process_id}/task")
    return {int(child) for task in _listed(tasks) for child in _text(task / "children").split()}


def process_tree(process_id: int) -> set[int]:
    """The process and all processes below it."""
    return {process_id}.union(*(process_tree(child) for child in child_processes(process_id)))


def decode_workers(process_id: int) -> set[int]:
    """Ids of the decode workers of the service with that process id; zombies are left out."""
    return {
        child
        for child in child_processes(process_id)
        if DECODE_WORKER in _read(f"/proc/{child}/cmdline") and process_state(child) != "Z"
    }


def process_state(process_id: int) -> str:
    """The state of the process as one letter (`T` for stopped, `Z` for a zombie); empty if there is no process."""
    _, _, fields = _text(Path(f"/proc/{process_id}/stat")).rpartition(") ")
    return fields.split()[_STATE] if fields else ""


def resident_bytes(process_id: int) -> int:
    """Resident memory of the process; pages that it shares with others count. 0 if it has ended."""
    fields = _text(Path(f"/proc/{process_id}/statm")).split()
    return int(fields[_RESIDENT_PAGES]) * _PAGE_BYTES if fields else 0


def num_descriptors(process_id: int) -> int:
    """Open file descriptors of the process; 0 if it has ended."""
    return len(_listed(Path(f"/proc/{process_id}/fd")))


def num_files(directory: Path) -> int:
    """Files below the directory. Files that are removed meanwhile may be counted."""
    return sum(len(names) for _, _, names in os.walk(directory))


def _listed(directory: Path) -> list[Path]:
    return _unless_ended(lambda: list(directory.iterdir()), [])


def _text(path: Path) -> str:
    return _unless_ended(path.read_text, "")


def _read(path: str) -> bytes:
    return _unless_ended(Path(path).read_bytes, b"")


def _unless_ended(read: Callable[[], _Value], otherwise: _Value) -> _Value:
    try:
        return read()
    except OSError:
        # The process or the thread has just ended.
        return otherwise
