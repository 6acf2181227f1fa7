"""The files for the public host parse, fit their schemas, and call make targets that exist."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from framewise.version import __version__
from tests.contracts.test_platforms import PYTHONS

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
SCHEMAS = {
    **dict.fromkeys(WORKFLOWS, "vendor.github-workflows"),
    GITHUB / "dependabot.yml": "vendor.dependabot",
    GITHUB / "ISSUE_TEMPLATE" / "config.yml": "vendor.github-issue-config",
    GITHUB / "ISSUE_TEMPLATE" / "bug_report.yml": "vendor.github-issue-forms",
    GITHUB / "ISSUE_TEMPLATE" / "feature_request.yml": "vendor.github-issue-forms",
    ROOT / "CITATION.cff": "vendor.citation-file-format",
    ROOT / "docker-compose.yml": "vendor.compose-spec",
}
MAJOR_VERSION = re.compile(r"[\w./-]+@(v\d+|release/v\d+)")


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    """The steps of every job of a workflow."""
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        yield from job["steps"]


def make_targets() -> set[str]:
    """The targets that `make help` lists."""
    command = ["make", "--no-print-directory", "help"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {line.split()[0] for line in listed.stdout.splitlines()}


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_a_file_fits_its_schema(file: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[file], str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.name)
def test_every_job_has_a_time_limit(workflow: Path) -> None:
    for name, job in yaml.safe_load(workflow.read_text())["jobs"].items():
        assert job["timeout-minutes"] > 0, name


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.name)
def test_an_action_is_pinned_to_a_major_version(workflow: Path) -> None:
    for step in steps(workflow):
        if "uses" in step:
            assert MAJOR_VERSION.fullmatch(step["uses"]), step["uses"]


def test_the_workflows_call_make_targets_that_exist() -> None:
    called = {
        target
        for workflow in WORKFLOWS
        for step in steps(workflow)
        for target in re.findall(r"^make ([\w-]+)$", step.get("run", ""), re.MULTILINE)
    }
    assert {"check", "check-page", "test", "dist", "test-dist", "test-container", "docs"} <= called
    assert called <= make_targets()


def test_every_phony_target_has_a_description() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text().replace("\\\n", ""), re.MULTILINE)
    assert set(phony.split()) - {"test-core", "has-data"} == make_targets()


@pytest.mark.parametrize("arguments", [["train", "CONFIG=mine.py"], ["validate-data"]], ids=["train", "validate-data"])
def test_training_without_data_fails_before_it_installs(arguments: list[str], tmp_path: Path) -> None:
    command = ["make", *arguments, f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "DATA is missing." in done.stderr
    assert not (tmp_path / "venv").exists()


def test_the_tests_run_on_every_supported_python() -> None:
    test_job = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text())["jobs"]["test"]
    assert tuple(test_job["strategy"]["matrix"]["python-version"]) == PYTHONS


def test_pre_commit_runs_the_pinned_linter() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (revision,) = [each["rev"].removeprefix("v") for each in repositories if each["repo"].endswith("ruff-pre-commit")]
    assert f"\nruff=={revision} " in (ROOT / "requirements" / "dev.txt").read_text()


def test_the_citation_names_the_version_and_the_repository() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert (citation["version"], citation["repository-code"]) == (__version__, urls["Source"])
