"""The result of a benchmark, as printed tables and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.harness.machine import Machine


@dataclass(frozen=True, slots=True)
class Table:
    """A table of printable cells."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]

    def __str__(self) -> str:
        cells = [[str(cell) for cell in row] for row in (self.header, *self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        return "\n".join([self.title, *lines[:1], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one benchmark.

    `figures` are the metrics that have targets, by name. `details` are all measurements, for JSON. `notes` explain the
    result, such as a peer that could not be started.
    """

    name: str
    figures: Mapping[str, float]
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    details: Mapping[str, object] = field(default_factory=dict)


def print_report(report: Report) -> None:
    """Print the tables, the notes and the figures."""
    for table in report.tables:
        print(table, end="\n\n")
    for note in report.notes:
        print(f"note: {note}")
    for name, value in report.figures.items():
        print(f"{report.name}.{name} = {value:.4g}")
    print()


def to_json(report: Report, machine: Machine, model: str, *, is_quick: bool) -> str:
    """One line of JSON: the figures by name, then command, model (`name/version`), machine and details."""
    rounded = {name: round(value, 4) for name, value in report.figures.items()}
    return json.dumps(
        {
            "benchmark": report.name,
            **rounded,
            "command": f"python -m benchmarks {report.name}{' --quick' if is_quick else ''}",
            "model": model,
            "is_quick": is_quick,
            "notes": list(report.notes),
            "machine": machine.to_dict(),
            "details": report.details,
        }
    )
