"""The number of processor cores this process may use."""

import math
import os
from pathlib import Path

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def num_cores(quota_file: Path = _CGROUP_QUOTA) -> int:
    """The cores that CPU affinity and container quota allow, at least 1; a fractional quota is rounded up.

    macOS has neither: there, all cores count.
    `quota_file` is `cpu.max` of cgroup v2, "QUOTA PERIOD" in microseconds or "max PERIOD":
    https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        # No quota ("max"), or no cgroup v2.
        return max(1, cores)
