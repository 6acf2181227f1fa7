"""Soak test: mixed traffic against one real service. The exit status is 1 if anything was violated.

    python -m tests.soak --minutes 30 [--seed 0] [--database postgresql] [--report soak.json]

Good, hostile, slow, leaving, oversized and flooding callers, jobs with callbacks, and one well-behaved key. Each
prediction is compared bit for bit with the one that the service gave without load; each other response with the OpenAPI
document. Memory, processes, descriptors and files must not grow.
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import Soak
from tests.support.grey_model import write_grey_model
from tests.support.postgres import running_postgres
from tests.support.traffic.report import write_report


def main() -> int:
    """Parse the arguments, run the soak test, write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--report", type=Path, default=Path("soak.json"))
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        url = stack.enter_context(running_postgres()) if arguments.database == "postgresql" else None
        write_grey_model(directory / "models")
        report = Soak(directory / "models", directory, arguments.minutes * 60, arguments.seed, url).run()
    return write_report(report, arguments.report)


if __name__ == "__main__":
    sys.exit(main())
