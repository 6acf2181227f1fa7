"""Describes the machine of a measurement, and its load before the run."""

import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("av", "tensorflow-cpu", "tensorflow", "opencv-python-headless", "openvino", "numpy", "uvicorn", "fastapi")


@dataclass(frozen=True, slots=True)
class Machine:
    """Hardware, system, versions, and the load average of the minute before the run."""

    measured_at: str
    processor: str
    num_cores: int
    memory_gibibytes: float
    system: str
    python: str
    versions: dict[str, str]
    load_before: float

    def to_dict(self) -> dict[str, object]:
        """The fields for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return (
            f"{self.num_cores} cores of {self.processor}, {self.memory_gibibytes:.0f} GiB, {self.system}, "
            f"Python {self.python}, {versions}; load before the run {self.load_before:.2f}; {self.measured_at}"
        )


def this_machine() -> Machine:
    """Describe this machine."""
    return Machine(
        measured_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        processor=_processor(),
        num_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gibibytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions=_versions(),
        load_before=os.getloadavg()[0],
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    lines = cpuinfo.read_text().splitlines()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    widest = next((name for name in ("avx512f", "avx2", "avx") if name in facts.get("flags", "").split()), "no AVX")
    return f"{facts.get('model name', platform.machine())} ({widest})"


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
