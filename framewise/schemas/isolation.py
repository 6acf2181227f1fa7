"""How far a decode worker is isolated from the machine, as the health report shows it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Isolation:
    """Which walls stand around a decode child; each is true where it holds on this machine."""

    has_no_network: bool
    """It lives in a network namespace of its own, whose only interface is a loopback that is down."""
    has_syscall_filter: bool
    """It can open no socket, start no program or process, and change or write no file."""
    has_no_new_privileges: bool
    is_undumpable: bool
    """No other process of the same user may read or trace it, and it leaves no core."""
    dies_with_parent: bool
    has_memory_limit: bool
    has_cpu_limit: bool
