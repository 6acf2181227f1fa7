"""How many processor cores this process may use."""

import math
import os
from pathlib import Path

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def num_cores(quota_file: Path = _CGROUP_QUOTA) -> int:
    """The cores that the machine, the process's affinity and its container's quota all allow; at least 1.

    `quota_file` is that of cgroup v2, "QUOTA PERIOD" in microseconds or "max PERIOD":
    https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
    """
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        # No quota ("max"), or no cgroup v2 here.
        return max(1, cores)
