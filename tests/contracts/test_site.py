"""The site of the documentation: it builds without a warning, and links of the repository work in it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="the dependency group `docs` is not installed")

from docs.markdown_text import ROOT
from docs.site_pages import repository_path, site_path, with_site_links


@pytest.mark.parametrize(
    ("path", "site"),
    [
        ("docs/jobs.md", "jobs.md"),
        ("docs/decisions/index.md", "decisions/index.md"),
        ("SECURITY.md", "repository/SECURITY.md"),
        ("samples/README.md", "repository/samples/README.md"),
    ],
)
def test_paths_of_the_repository_and_of_the_site_correspond(path: str, site: str) -> None:
    assert site_path(path) == site
    assert repository_path(site) == path


@pytest.mark.parametrize(
    ("source", "link", "in_site"),
    [
        ("jobs.md", "predict.md#warnings", "predict.md#warnings"),
        ("security.md", "../SECURITY.md", "repository/SECURITY.md"),
        ("decisions/index.md", "../jobs.md", "../jobs.md"),
        ("repository/README.md", "docs/api.md", "../api.md"),
        ("repository/README.md", "SECURITY.md", "SECURITY.md"),
        ("repository/README.md", "#licence", "#licence"),
        ("repository/README.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_a_link_of_the_repository_is_adapted_to_the_site(source: str, link: str, in_site: str) -> None:
    assert with_site_links(f"See [this]({link}) now.", source) == f"See [this]({in_site}) now."


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    client = (tmp_path / "site" / "python-client" / "index.html").read_text(encoding="utf-8")
    assert "wait_for_job" in client
    assert (tmp_path / "site" / "repository" / "SECURITY" / "index.html").is_file()
