"""Generate the tables of settings and errors in the documentation from the code.

`python -m docs.reference` writes each table between the markers of its document in `docs/`.
"""

import re
from pathlib import Path

from service.api.problem_table import TABLE
from service.settings import Settings

DOCS_DIR = Path(__file__).parents[1] / "docs"


def settings_table() -> str:
    """Every setting with its default and its description, as a Markdown table."""
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "from the machine" if field.default_factory is not None else f"`{_shown(field.default)}`"
        rows.append(f"| `SERVICE_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def problems_table() -> str:
    """Every error that a client can receive, as a Markdown table."""
    kinds = sorted({(kind.status, kind.code, kind.meaning) for kind in TABLE.values()})
    rows = ["| Status | code | When |", "|---|---|---|"]
    return "\n".join(rows + [f"| {status} | `{code}` | {meaning} |" for status, code, meaning in kinds])


TABLES = {"settings.md": settings_table, "errors.md": problems_table}


def with_table(document: str, table: str) -> str:
    """Replace the text between the markers of `document` by `table`."""
    pattern = re.compile(r"(<!-- table -->\n).*?(<!-- end of table -->)", re.DOTALL)
    filled, num_filled = pattern.subn(lambda markers: f"{markers[1]}{table}\n{markers[2]}", document)
    if num_filled != 1:
        raise ValueError("the document must have one pair of table markers")
    return filled


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
