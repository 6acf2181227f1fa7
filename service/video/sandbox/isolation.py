"""What a decode child gives up for good before it sees a stranger's file, and what of it this platform allows.

Each step is tried on its own; what did not hold is reported, not hidden. Knows nothing of videos.
"""

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Callable

from framewise.schemas.isolation import Isolation
from service.video.sandbox.seccomp import forbid_syscalls

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


def isolate(max_memory_bytes: int) -> Isolation:
    """Give up everything that decoding does not need; say what was possible.

    Call it while the process has one thread: several cannot leave a namespace at once.
    """
    is_linux = sys.platform == "linux"
    has_no_network = is_linux and _holds(_leave_network)
    return Isolation(
        has_no_network=has_no_network,
        dies_with_parent=is_linux and _holds(lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)),
        is_undumpable=become_undumpable(),
        has_no_new_privileges=is_linux and _holds(lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1)),
        has_memory_limit=_holds(lambda: _limit_resources(max_memory_bytes)),
        has_cpu_limit=_holds(lambda: allow_cpu_seconds(3600)),
        has_syscall_filter=is_linux and _holds(forbid_syscalls),
    )


def become_undumpable() -> bool:
    """Let no other process of the same user read or trace this one, its environment among it; whether that holds."""
    return sys.platform == "linux" and _holds(lambda: _prctl(_PR_SET_DUMPABLE, 0))


def allow_cpu_seconds(seconds: float) -> None:
    """Let the process use `seconds` of processor time from now on; then it dies of SIGXCPU."""
    import resource  # noqa: PLC0415 - Windows has none

    # The limit counts the whole life of a process, so it starts from what is already used.
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _holds(step: Callable[[], None]) -> bool:
    try:
        step()
    except (OSError, ValueError, ImportError, AttributeError):
        return False
    return True


def _limit_resources(max_memory_bytes: int) -> None:
    import resource  # noqa: PLC0415 - Windows has none

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))


def _leave_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    # Without privileges it takes a user namespace; a container may forbid that and allow the other.
    for flags in (_CLONE_NEWUSER | _CLONE_NEWNET, _CLONE_NEWNET):
        if libc.unshare(flags) == 0:
            return
    raise OSError(ctypes.get_errno() or errno.EPERM, "unshare")


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
