"""The number of usable cores, by affinity and container quota."""

import os
from pathlib import Path

import pytest

from service.cores import num_cores

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000\n", ALL),
        ("50000 100000\n", 1),
        ("150000 100000\n", min(2, ALL)),
        ("100000000 100000\n", ALL),
        ("nonsense", ALL),
        ("", ALL),
    ],
)
def test_a_container_quota_limits_the_cores(quota: str, expected: int, tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert num_cores(file) == expected


def test_without_a_quota_file_all_cores_of_the_affinity_count(tmp_path: Path) -> None:
    assert num_cores(tmp_path / "none") == ALL


def test_without_affinity_as_on_macos_all_cores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert num_cores(tmp_path / "none") == 6
