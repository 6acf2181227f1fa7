"""How many cores there are to use, by machine and by container."""

import os
from pathlib import Path

import pytest

from service.cores import num_cores

ALL = len(os.sched_getaffinity(0))


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
def test_a_container_uses_what_its_quota_allows(quota: str, expected: int, tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert num_cores(file) == expected


def test_where_there_are_no_quotas_every_core_counts_that_the_process_may_run_on(tmp_path: Path) -> None:
    assert num_cores(tmp_path / "none") == ALL
