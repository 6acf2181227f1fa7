"""Generate the tables of settings and errors in the documentation from the code.

`python -m docs.reference` writes each table between the markers of its document in `docs/`.
"""

import re
import tomllib
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from service.api.problem_table import TABLE
from service.connections.settings import ConnectionSettings
from service.fair_share.settings import FairShareSettings
from service.inference.settings import InferenceSettings
from service.jobs.settings import JobSettings
from service.keys.settings import KeySettings
from service.model_control.settings import ModelControlSettings
from service.prediction.settings import PredictionSettings
from service.settings import ServerSettings
from service.telemetry.settings import TelemetrySettings
from service.uploads.settings import UploadSettings
from service.video.sandbox.settings import SandboxSettings

DOCS_DIR = Path(__file__).parents[1] / "docs"
LICENCES = DOCS_DIR.parent / "requirements" / "licences.toml"


SETTINGS_HEADINGS: dict[type[BaseModel], str] = {
    ServerSettings: "HTTP server",
    ConnectionSettings: "Connections",
    TelemetrySettings: "Logs and traces",
    KeySettings: "API keys",
    UploadSettings: "Uploads",
    PredictionSettings: "Admission, deadlines and cache",
    FairShareSettings: "Shares between callers",
    SandboxSettings: "Decoding",
    ModelControlSettings: "Models",
    InferenceSettings: "Engine and batches",
    JobSettings: "Jobs and webhooks",
}
_UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("bytes", 1))


def settings_tables() -> str:
    """Every setting with its default and its description: a heading and a Markdown table for each package."""
    lines: list[str] = []
    for part, heading in SETTINGS_HEADINGS.items():
        lines += [f"## {heading}", "", "| Variable | Default | Meaning |", "|---|---|---|"]
        lines += [_setting_row(name, field) for name, field in part.model_fields.items()]
        lines.append("")
    return "\n".join(lines[:-1])


def problems_table() -> str:
    """Every error that a client can receive, as a Markdown table."""
    kinds = sorted({(kind.status, kind.code, kind.meaning) for kind in TABLE.values()})
    rows = ["| Status | code | When |", "|---|---|---|"]
    return "\n".join(rows + [f"| {status} | `{code}` | {meaning} |" for status, code, meaning in kinds])


def libraries_table() -> str:
    """The shared libraries in the packages for serving with their licences, as a Markdown table."""
    rows = ["| Package | Licence | Libraries |", "|---|---|---|"]
    for package, libraries in tomllib.loads(LICENCES.read_text(encoding="utf-8"))["libraries"].items():
        for licence in sorted(set(libraries.values()), key=lambda each: ("GPL" not in each, each)):
            names = ", ".join(f"`{name}`" for name in sorted(libraries) if libraries[name] == licence)
            rows.append(f"| `{package}` | {licence} | {names} |")
    return "\n".join(rows)


TABLES = {"settings.md": settings_tables, "errors.md": problems_table, "licences.md": libraries_table}


def with_table(document: str, table: str) -> str:
    """Replace the text between the markers of `document` by `table`."""
    pattern = re.compile(r"(<!-- table -->\n).*?(<!-- end of table -->)", re.DOTALL)
    filled, num_filled = pattern.subn(lambda markers: f"{markers[1]}{table}\n{markers[2]}", document)
    if num_filled != 1:
        raise ValueError("the document must have one pair of table markers")
    return filled


def _setting_row(name: str, field: FieldInfo) -> str:
    if field.default_factory is not None:
        default = "from the machine"
    else:
        default = f"`{_shown(field.default)}`"
        if name.endswith("_bytes"):
            default += f" ({_with_unit(field.default)})"
    return f"| `SERVICE_{name.upper()}` | {default} | {field.description} |"


def _with_unit(num_bytes: int) -> str:
    return next(f"{num_bytes // factor} {unit}" for unit, factor in _UNITS if num_bytes % factor == 0)


def _shown(default: object) -> str:
    if default is None:
        return "none"
    return str(list(default) if isinstance(default, tuple) else default)


def main() -> None:
    """Write every table into its document."""
    for name, table in TABLES.items():
        path = DOCS_DIR / name
        path.write_text(with_table(path.read_text(encoding="utf-8"), table()), encoding="utf-8")


if __name__ == "__main__":
    main()
