"""The limit of open files of this process, and how many connections fit into it."""

import sys
from contextlib import suppress

RESERVED_CONNECTIONS = 16
"""Connections above the limit whose requests are answered: health probes and scrapes in full, others by a refusal."""

_PROCESS_DESCRIPTORS = 48
_WORKER_DESCRIPTORS = 4
_UPLOAD_DESCRIPTORS = 2


class TooFewDescriptors(Exception):
    """The process may not open enough files to serve a single connection; the text is for operators."""


def raise_descriptor_limit() -> int | None:
    """Raise the soft limit of open files to the hard one; returns the limit, or None if there is none."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - not available on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        # macOS reports no hard limit and accepts no soft one that high.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return None if soft == resource.RLIM_INFINITY else soft


def max_connections_within(descriptor_limit: int, *, max_uploads: int, num_workers: int) -> int:
    """The number of connections for which `descriptor_limit` suffices while uploads and decode workers have theirs.

    Raises:
        TooFewDescriptors: the limit is too low for a single connection.
    """
    fixed = _PROCESS_DESCRIPTORS + _WORKER_DESCRIPTORS * num_workers + RESERVED_CONNECTIONS
    available = descriptor_limit - fixed
    # A connection that uploads also needs a file, and for a URL another connection.
    num_connections = max(available - _UPLOAD_DESCRIPTORS * max_uploads, available // (1 + _UPLOAD_DESCRIPTORS))
    if num_connections < 1:
        raise TooFewDescriptors(
            f"The process may open {descriptor_limit} files (`ulimit -n`). It needs at least "
            f"{fixed + 1 + _UPLOAD_DESCRIPTORS}, and 4096 for full load."
        )
    return num_connections
