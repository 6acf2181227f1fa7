"""Finds the real and hostile videos beside the repository; tests that need them skip where they are absent."""

from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3] / "shared" / "data"


def shared_data(folder: str) -> Path:
    """The folder `../shared/data/<folder>`; skips the calling test where it is absent."""
    path = _ROOT / folder
    if not path.is_dir():
        pytest.skip(f"there is no ../shared/data/{folder}")
    return path


def shared_files(folder: str, *suffixes: str) -> list[Path]:
    """Every file below that folder with one of `suffixes` (all, if none is given), or none where it is absent."""
    if not (_ROOT / folder).is_dir():
        return []
    files = sorted(path for path in (_ROOT / folder).rglob("*") if path.is_file())
    return [path for path in files if not suffixes or path.suffix in suffixes]
