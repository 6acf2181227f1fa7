"""Forbids system calls that decoding never needs, if libseccomp is installed."""

import ctypes
import errno
import os

_FORBIDDEN = (
    # Network, and other communication with processes.
    *("socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg", "sendmmsg"),
    *("kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_getfd", "pidfd_send_signal"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp"),
    *("setpriority", "ioprio_set", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"),
    *("migrate_pages", "move_pages"),
    *("shmget", "msgget", "semget", "mq_open"),
    # Other programs and processes.
    *("execve", "execveat", "fork", "vfork"),
    # Changes to files.
    *("creat", "truncate", "ftruncate", "fallocate", "unlink", "unlinkat", "rename", "renameat", "renameat2"),
    *("mkdir", "mkdirat", "rmdir", "link", "linkat", "symlink", "symlinkat", "mknod", "mknodat"),
    *("chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "setxattr", "removexattr"),
    # Calls that enlarge the kernel's attack surface.
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "keyctl", "add_key", "request_key", "bpf"),
    *("perf_event_open", "userfaultfd", "io_uring_setup", "open_by_handle_at", "init_module", "finit_module"),
)

_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_NOT_EQUAL, _EQUAL, _MASKED_EQUAL = 1, 4, 7
_ALL_THREADS_ATTRIBUTE = 4
_CLONE_THREAD = 0x00010000
_SET_OWNER_COMMANDS = (8, 10, 15)
"""`F_SETOWN`, `F_SETSIG` and `F_SETOWN_EX`."""
_SET_OWNER_REQUESTS = (0x8901, 0x8902)
"""`FIOSETOWN` and `SIOCSPGRP`."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def forbid_syscalls() -> None:
    """Make all forbidden calls of this process fail with EPERM, permanently.

    Raises:
        OSError: libseccomp is not installed, or the kernel rejects the filter.
    """
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))

    def refuse(name: str, reason: int = errno.EPERM, *only_if: _Comparison) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        # A call that this architecture lacks, such as `open` on ARM, has a negative number and needs no rule.
        if number >= 0:
            comparisons = (_Comparison * len(only_if))(*only_if)
            action = ctypes.c_uint32(_REFUSE | reason)
            status = library.seccomp_rule_add_array(rules, action, number, len(only_if), comparisons)
            if status != 0:
                raise OSError(-status, f"seccomp_rule_add_array: {name}")

    try:
        for name in _FORBIDDEN:
            refuse(name)
        # Threads are allowed, processes are not. `clone3` hides its flags; without it, libc uses `clone`.
        refuse("clone3", errno.ENOSYS)
        refuse("clone", errno.EPERM, _Comparison(0, _MASKED_EQUAL, _CLONE_THREAD, 0))
        # `abort` and `setrlimit` use these two calls on the process itself.
        refuse("tgkill", errno.EPERM, _Comparison(0, _NOT_EQUAL, os.getpid(), 0))
        refuse("prlimit64", errno.EPERM, _Comparison(0, _NOT_EQUAL, 0, 0))
        # These commands make the kernel signal another process when a file changes state.
        for command in _SET_OWNER_COMMANDS:
            refuse("fcntl", errno.EPERM, _Comparison(1, _EQUAL, command, 0))
        for request in _SET_OWNER_REQUESTS:
            refuse("ioctl", errno.EPERM, _Comparison(1, _EQUAL, request, 0))
        for name, argument in (("open", 1), ("openat", 2)):
            for flag in (os.O_WRONLY, os.O_RDWR, os.O_TRUNC, os.O_CREAT):
                refuse(name, errno.EPERM, _Comparison(argument, _MASKED_EQUAL, flag, flag))
        refuse("openat2", errno.ENOSYS)
        library.seccomp_attr_set(rules, _ALL_THREADS_ATTRIBUTE, 1)
        if (status := library.seccomp_load(rules)) != 0:
            raise OSError(-status, "seccomp_load")
    finally:
        library.seccomp_release(rules)
