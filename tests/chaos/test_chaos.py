"""The short form of the chaos test, and the plan of its events."""

from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.chaos import CAUSES
from tests.chaos.plan import plan_events
from tests.chaos.stage import chaos_stage

# Two that end a process, one of the database, one of the disk.
SHORT = ("worker killed", "service killed", "table renamed", "upload directory removed")


@pytest.mark.tensorflow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the decode workers under /proc")
def test_a_fault_of_each_part_leaves_the_service_ready_and_no_job_lost(grey_models_dir: Path, tmp_path: Path) -> None:
    """`python -m tests.chaos --events 200` is the long form."""
    with chaos_stage(grey_models_dir, tmp_path, seed=0, is_postgres=False) as chaos:
        # This guards against a hang: a machine that runs tests is busy.
        chaos.ready_seconds = 60
        chaos.num_measured_restarts = 1
        report = chaos.run(SHORT, len(SHORT))
    assert report["violations"] == []
    assert sorted(event["cause"] for event in report["events"]) == sorted(SHORT)
    assert report["jobs"]["probe"]["num_accepted"] > len(SHORT)
    assert report["jobs"]["jobs"]["num_accepted"] > 0


def test_a_seed_determines_the_events() -> None:
    assert plan_events(list(CAUSES), 100, seed=7) == plan_events(list(CAUSES), 100, seed=7)
    assert plan_events(list(CAUSES), 100, seed=7) != plan_events(list(CAUSES), 100, seed=8)


def test_every_cause_occurs_equally_often() -> None:
    counts = Counter(event.cause for event in plan_events(list(CAUSES), 3 * len(CAUSES), seed=0))
    assert counts == dict.fromkeys(CAUSES, 3)
