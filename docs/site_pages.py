"""MkDocs hook that adds documents outside `docs/` to the site and adapts relative links to their addresses there.

A link that works in the repository works in the site: `path` of the repository is `repository/path` of the site, and
`docs/path` is `path`.
"""

import os.path
from pathlib import PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.markdown_text import ROOT, relative_links, tracked_files

PUBLISHED = (
    ":(glob)*.md",
    ":(glob)models/*/*/MODEL_CARD.md",
    "samples/README.md",
    "samples/jump.mp4",
    "LICENSE",
    "NOTICE",
    "monitoring/*",
)
"""Git's patterns of the documents and of the files that they link to."""

REPOSITORY = "repository/"


def site_path(path: str) -> str:
    """Translate a path of the repository into the path of its source in the site."""
    return path.removeprefix("docs/") if path.startswith("docs/") else REPOSITORY + path


def repository_path(site: str) -> str:
    """Translate the path of a source in the site into its path in the repository."""
    return site.removeprefix(REPOSITORY) if site.startswith(REPOSITORY) else f"docs/{site}"


def with_site_links(markdown: str, source: str) -> str:
    """Rewrite the relative links of the document `source`, a path of the site, from repository paths to site paths."""
    folder = PurePosixPath(repository_path(source)).parent
    for link in reversed(list(relative_links(markdown))):
        name, hash_sign, anchor = link.target.partition("#")
        if name:
            target = os.path.normpath(folder / name)
            name = os.path.relpath(site_path(target), PurePosixPath(source).parent)
        markdown = markdown[: link.start] + name + hash_sign + anchor + markdown[link.end :]
    return markdown


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the published documents outside `docs/`."""
    for path in tracked_files(*PUBLISHED):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("docs/"):
            files.append(File.generated(config, site_path(name), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs' names
    """Adapt the links of one page."""
    return with_site_links(markdown, page.file.src_uri)
