"""Writes the report of a run, and tells the violations."""

import json
import sys
from pathlib import Path
from typing import Any

_NUM_SHOWN = 30
_MAX_DETAIL = 300


def write_report(report: dict[str, Any], path: Path) -> int:
    """Write the report as JSON, print its violations, and return the exit status: 1 if there are any."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for violation in report["violations"][:_NUM_SHOWN]:
        first = f"first after {violation['first_at_seconds']:.1f} s: {violation['first_detail'][:_MAX_DETAIL]}"
        sys.stdout.write(f"{violation['num']} x {violation['caller']}: {violation['fact']}; {first}\n")
    number = report["num_violations"]
    sys.stdout.write(f"{report['num_requests']} requests, {number} violations; the report is {path}\n")
    return 1 if number else 0
