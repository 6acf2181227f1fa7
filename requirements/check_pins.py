"""`python requirements/check_pins.py [FILE ...]`: every package is pinned to one version, on all Python versions.

A package with two pins ("forked") behaves differently from one Python version to the next, and the tests of one
version prove nothing about the other. Without FILE, checks all pin files beside this script. Exits with status 1
and one line for each fork.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

ALLOWED_FORKS: dict[str, str] = {}
"""Packages that may have several versions, each with the reason. Keep it short."""

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^]]*\])?==(?P<version>[^\s;\\]+)", re.MULTILINE)


def find_forks(files: Sequence[Path]) -> list[str]:
    """One line for each package that has several versions in `files`, with the files in which they stand."""
    versions: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for file in files:
        for pin in _PIN.finditer(file.read_text(encoding="utf-8")):
            versions[pin["name"]][pin["version"]].add(file.name)
    return [
        f"{name} is pinned to several versions: "
        + ", ".join(f"{version} ({', '.join(sorted(where))})" for version, where in sorted(found.items()))
        for name, found in sorted(versions.items())
        if len(found) > 1 and name not in ALLOWED_FORKS
    ]


def main(arguments: Sequence[str]) -> int:
    """Print the forks; 1 where there are any."""
    files = [Path(argument) for argument in arguments] or sorted(Path(__file__).parent.glob("*.txt"))
    forks = find_forks(files)
    for fork in forks:
        print(fork, file=sys.stderr)
    if forks:
        print("Bound the package in pyproject.toml, or list it with a reason in ALLOWED_FORKS.", file=sys.stderr)
    return 1 if forks else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
