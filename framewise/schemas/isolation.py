"""Schema of the isolation report of the decode workers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Isolation:
    """Isolation measures of a decode worker; true if the measure is effective on this machine."""

    has_no_network: bool
    """The worker runs in its own network namespace, whose only interface is a loopback that is down."""
    has_syscall_filter: bool
    """A seccomp filter denies sockets, new processes and programs, and writing files."""
    has_no_new_privileges: bool
    is_undumpable: bool
    """Other processes of the same user can neither read nor trace the worker, and it writes no core dump."""
    dies_with_parent: bool
    has_memory_limit: bool
    has_cpu_limit: bool
