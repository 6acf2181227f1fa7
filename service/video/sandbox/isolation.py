"""Isolates a decode worker from the machine before it opens an untrusted file.

Each step is tried independently, and the result reports which steps this platform supports. Independent of video.
"""

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from framewise.schemas.isolation import Isolation
from service.video.sandbox.seccomp import forbid_syscalls

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


def isolate(max_memory_bytes: int) -> Isolation:
    """Drop all rights that decoding does not need, permanently, and report which steps succeeded.

    The process must have a single thread, because several cannot leave a namespace together.
    """
    is_linux = sys.platform == "linux"
    if is_linux:
        # First, because the files of an undumpable process belong to root.
        _succeeds(_be_killed_first)
    has_no_network = is_linux and _succeeds(_leave_network)
    return Isolation(
        has_no_network=has_no_network,
        dies_with_parent=is_linux and _succeeds(lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)),
        is_undumpable=become_undumpable(),
        has_no_new_privileges=is_linux and _succeeds(lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1)),
        has_memory_limit=_succeeds(lambda: _limit_resources(max_memory_bytes)),
        has_cpu_limit=_succeeds(lambda: allow_cpu_seconds(3600)),
        has_syscall_filter=is_linux and _succeeds(forbid_syscalls),
    )


def become_undumpable() -> bool:
    """Forbid other processes of the same user to read or trace this one, including its environment; True on success."""
    return sys.platform == "linux" and _succeeds(lambda: _prctl(_PR_SET_DUMPABLE, 0))


def allow_cpu_seconds(seconds: float) -> None:
    """Limit the further processor time of this process to `seconds`; SIGXCPU then ends it."""
    import resource  # noqa: PLC0415 - not available on Windows

    # The limit includes the processor time already used.
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _succeeds(step: Callable[[], None]) -> bool:
    try:
        step()
    except (OSError, ValueError, ImportError, AttributeError):
        return False
    return True


def _be_killed_first() -> None:
    """If memory runs out, the system kills this process rather than the service, which can replace it."""
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _limit_resources(max_memory_bytes: int) -> None:
    import resource  # noqa: PLC0415 - not available on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))


def _leave_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    # Without privileges this needs a user namespace. A container may forbid that, but allow a network namespace.
    for flags in (_CLONE_NEWUSER | _CLONE_NEWNET, _CLONE_NEWNET):
        if libc.unshare(flags) == 0:
            return
    raise OSError(ctypes.get_errno() or errno.EPERM, "unshare")


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
