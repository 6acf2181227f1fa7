"""The code and its documents say the same, and the code keeps to its floors."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import service
from docs.reference import TABLES, with_table
from service import egress as outbound
from service import lifecycle
from service.api.problems import TABLE
from service.inference import errors as inference_errors
from service.jobs import errors as job_errors
from service.keys import key_ring as api_keys
from service.open_inference import codec as open_inference
from service.prediction import admission
from service.prediction import classifier as classify
from service.settings import Settings
from service.uploads import directory as upload_directory
from service.uploads import from_url as url_input
from service.uploads import receive as upload
from service.video import errors as video_errors

ROOT = Path(service.__file__).parents[1]

# Raised at start-up or within a module, never for a caller to see.
NEVER_ANSWERED = {"InvalidModel", "UploadError", "VideoError", "InferenceError"}

PATH_PREFIXES = ("benchmarks/", "docs/", "framewise/", "fuzz/", "model_training/", "monitoring/", "requirements/")
PATH_PREFIXES += ("samples/", "service/", "tests/")


def test_every_error_has_a_row_in_the_table() -> None:
    modules = (
        *(admission, api_keys, classify, lifecycle, open_inference, outbound, upload, upload_directory, url_input),
        *(inference_errors, job_errors, video_errors),
    )
    errors = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == module.__name__
    }
    assert {error for error in errors if error.__name__ not in NEVER_ANSWERED} <= set(TABLE)


@pytest.mark.parametrize("name", list(TABLES))
def test_the_reference_tables_are_those_of_the_code(name: str) -> None:
    """`python -m docs.reference` renews them."""
    document = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert with_table(document, TABLES[name]()) == document


def test_every_setting_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_importing_the_app_loads_neither_tensorflow_nor_a_decoder() -> None:
    code = "import sys, service.app; print(sorted({'tensorflow', 'keras', 'av', 'cv2'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_every_path_in_a_document_exists() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        text = document.read_text(encoding="utf-8")
        for word in set(re.split(r"[\s()`]+", text)):
            path = word.partition("#")[0].rstrip(".,:;/")
            if path.startswith(PATH_PREFIXES) and not set("<>*") & set(path):
                assert (ROOT / path).exists(), f"{document.name}: {path}"


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_documents_are_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 500
