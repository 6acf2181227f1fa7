"""Check every relative link of the documents: its file exists, and so does the heading that it names.

`python -m docs.check_links` needs no network; it exits with 1 if a link is broken.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from docs.markdown_text import ROOT, anchors, relative_links, tracked_files


def broken_links(path: Path) -> Iterator[str]:
    """Describe each broken link of one document: file, line, target and reason."""
    text = path.read_text(encoding="utf-8")
    for link in relative_links(text):
        name, _, anchor = unquote(link.target).partition("#")
        target = (path.parent / name).resolve() if name else path
        reason = None
        if not target.exists():
            reason = "no such file"
        elif anchor and (target.suffix != ".md" or anchor not in anchors(target.read_text(encoding="utf-8"))):
            reason = "no such heading"
        if reason:
            line = text.count("\n", 0, link.start) + 1
            yield f"{path}:{line}: {link.target}: {reason}"


def main() -> int:
    """Check all documents and print the broken links."""
    broken = [link for path in tracked_files("*.md") for link in broken_links(path)]
    for link in broken:
        print(link.removeprefix(f"{ROOT}/"))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
