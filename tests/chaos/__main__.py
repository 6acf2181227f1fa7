"""Chaos test: parts of a running service are killed, frozen and taken away. The exit status is 1 after a violation.

    python -m tests.chaos --events 200 [--seed 0] [--database sqlite] [--causes "worker killed,disk full"]

Under traffic, one fault after the other meets the decode workers, the service, its database, its disk and the clock of
its database. Every caller must get an answer or a documented error within its deadline. The service must be ready again
within 5 seconds of the end of each fault; if the fault ended the process, an orderly restart is allowed besides. Each
accepted job must end once, with the right result, and its callback must come. The seed determines the events and what
is sent, not how both meet.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.chaos import CAUSES
from tests.chaos.stage import chaos_stage
from tests.support.grey_model import write_grey_model
from tests.support.postgres import postgres_binaries
from tests.support.traffic.report import write_report


def main() -> int:
    """Parse the arguments, run the events, write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--database",
        choices=("sqlite", "postgresql"),
        default="sqlite" if postgres_binaries() is None else "postgresql",
        help="default: postgresql where it is installed",
    )
    parser.add_argument("--causes", default=",".join(CAUSES), help="comma-separated; default: all")
    parser.add_argument("--report", type=Path, default=Path("chaos.json"))
    parser.add_argument("--log", type=Path, help="keep the log of the service in this file")
    arguments = parser.parse_args()
    causes = arguments.causes.split(",")
    if unknown := [name for name in causes if name not in CAUSES]:
        parser.error(f"unknown causes {unknown}; the causes are {', '.join(CAUSES)}")
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        models_dir = Path(directory) / "models"
        write_grey_model(models_dir)
        is_postgres = arguments.database == "postgresql"
        with chaos_stage(
            models_dir, Path(directory), arguments.seed, is_postgres=is_postgres, log_path=arguments.log
        ) as chaos:
            report = chaos.run(causes, arguments.events)
    return write_report(report, arguments.report)


if __name__ == "__main__":
    sys.exit(main())
