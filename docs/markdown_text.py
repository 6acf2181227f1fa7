"""Read the parts of a Markdown document that the checks of the documentation need: links, anchors and prose."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

_FENCE = re.compile(r"^\s*(```+|~~~+)")
_INLINE_CODE = re.compile(r"(`+)(.+?)\1")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(
    r"\]\(\s*(?P<target>[^()\s]+)(?:\s+\"[^\"]*\")?\s*\)|^\s*\[[^\]]+\]:\s+(?P<reference>\S+)", re.MULTILINE
)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_EXTERNAL = re.compile(r"^([a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Link:
    """A link to another file or heading; `start` and `end` delimit its target in the document."""

    target: str
    start: int
    end: int


def tracked_files(*patterns: str) -> list[Path]:
    """List the files of the repository that match `patterns` and that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return sorted(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def without_code(text: str) -> str:
    """Blank out code blocks and inline code; every other character keeps its position."""
    lines, fence = [], ""
    for line in text.splitlines(keepends=True):
        opened = _FENCE.match(line)
        if fence:
            is_code, fence = True, "" if opened and opened[1].startswith(fence) else fence
        else:
            is_code, fence = opened is not None, opened[1] if opened else ""
        lines.append(_blank(line) if is_code else line)
    return _INLINE_CODE.sub(lambda code: _blank(code[0]), "".join(lines))


def relative_links(text: str) -> Iterator[Link]:
    """Find the links that name neither a scheme nor a host, in order."""
    for match in _LINK.finditer(without_code(text)):
        group = "target" if match["target"] else "reference"
        if not _EXTERNAL.match(match[group]):
            yield Link(match[group], match.start(group), match.end(group))


def anchors(text: str) -> set[str]:
    """Derive the anchors of all headings by GitHub's rule; a repeated heading gets `-1`, `-2`, ..."""
    found: set[str] = set()
    plain = without_code(text)
    for heading in _HEADING.finditer(plain):
        # Inline code is part of a heading's anchor.
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text[heading.start(1) : heading.end(1)])
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        number, anchor = 0, slug
        while anchor in found:
            number += 1
            anchor = f"{slug}-{number}"
        found.add(anchor)
    return found


def prose(text: str) -> str:
    """Return the words for readers: no code, no comments, no targets of links."""
    return _LINK.sub("]", _COMMENT.sub("", without_code(text)))


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
