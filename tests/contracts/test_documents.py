"""The documents agree with the code."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import service
from docs.reference import SETTINGS_HEADINGS, TABLES, with_table
from service.api.problem_table import TABLE
from service.settings import Settings

ROOT = Path(service.__file__).parents[1]

# Base classes, and the errors that no response reports.
NOT_REPORTED = {"UploadError", "VideoError", "InferenceError", "ClientDisconnected", "InvalidSettings", "InvalidUrl"}

PATH_PREFIXES = (
    *("benchmarks/", "docs/", "framewise/", "fuzz/", "model_training/"),
    *("monitoring/", "requirements/", "samples/", "service/", "tests/"),
)


def errors_of_the_service() -> set[type[Exception]]:
    """The errors in every `errors.py` of the service, and in its root modules."""
    directory = Path(service.__file__).parent
    paths = [*directory.glob("*.py"), *directory.rglob("errors.py")]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if path.stem[0] != "_"}
    return {
        value
        for name in names
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == name
    }


def test_every_error_has_a_row_in_the_table_of_problems_or_is_a_kind_of_one_that_has() -> None:
    reported = {error for error in errors_of_the_service() if error.__name__ not in NOT_REPORTED}
    assert len(reported) > 20
    assert [error for error in reported if TABLE.keys().isdisjoint(error.__mro__)] == []


@pytest.mark.parametrize("name", list(TABLES))
def test_the_reference_tables_are_those_of_the_code(name: str) -> None:
    """`python -m docs.reference` renews them."""
    document = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert with_table(document, TABLES[name]()) == document


def test_every_setting_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_the_document_of_settings_lists_every_setting() -> None:
    listed = [name for part in SETTINGS_HEADINGS for name in part.model_fields]
    assert sorted(listed) == sorted(Settings.model_fields)


def test_importing_the_app_loads_neither_tensorflow_nor_a_decoder() -> None:
    code = "import sys, service.app; print(sorted({'tensorflow', 'keras', 'av', 'cv2'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_every_path_in_a_document_exists() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        text = document.read_text(encoding="utf-8")
        for word in set(re.split(r"[\s()`]+", text)):
            path = word.partition("#")[0].partition("::")[0].rstrip(".,:;/")
            if path.startswith(PATH_PREFIXES) and not set("<>*") & set(path):
                assert (ROOT / path).exists(), f"{document.name}: {path}"


def test_every_test_that_a_document_names_exists() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", document.read_text(encoding="utf-8")):
            assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name


def test_each_guarantee_of_the_security_policy_names_its_tests() -> None:
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    guarantees = policy[policy.index("## Guarantees") : policy.index("## Isolation of decode workers")]
    proof = policy[policy.index("## Proof") :]
    titles = re.findall(r"^- \*\*(.+?)\*\*", guarantees, re.MULTILINE)
    assert len(titles) > 20
    assert titles == re.findall(r"^- (.+):\n  - `tests/", proof, re.MULTILINE)


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_documents_are_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 500
