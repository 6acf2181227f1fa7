"""Reads and names model directories, `models/<name>/<version>/`."""

from pathlib import Path

from pydantic import ValidationError

from model_training.errors import TrainingDataError
from model_training.export.card import Card
from service.inference.errors import InvalidModel
from service.inference.manifest import CARD_JSON_NAME, Manifest, read_manifest, verify_files


def next_version(models_directory: Path, name: str) -> str:
    """The highest version of the model `name`, plus one."""
    folder = models_directory / name
    versions = [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
    return str(max(versions, default=0) + 1)


def check_version_is_free(models_directory: Path, name: str, version: str) -> Path:
    """The directory of a new version.

    Raises:
        TrainingDataError: the version exists; a published version is never changed.
    """
    directory = models_directory / name / version
    if directory.exists():
        raise TrainingDataError(f"{directory} exists, and a version is never changed: choose another --version")
    return directory


def read_verified_manifest(directory: Path) -> Manifest:
    """Read the manifest of a model and verify the digests of its files.

    Raises:
        TrainingDataError: the directory is not a model, or a file does not match its digest.
    """
    try:
        manifest = read_manifest(directory)
        verify_files(directory, manifest)
    except InvalidModel as error:
        raise TrainingDataError(str(error)) from error
    return manifest


def read_card(directory: Path) -> Card:
    """Read the card of a model.

    Raises:
        TrainingDataError: the card is missing or invalid.
    """
    try:
        return Card.model_validate_json((directory / CARD_JSON_NAME).read_bytes())
    except OSError as error:
        raise TrainingDataError(f"{directory}: no readable {CARD_JSON_NAME}: {error.strerror}") from error
    except ValidationError as error:
        raise TrainingDataError(f"{directory}/{CARD_JSON_NAME}: not a card: {error.errors()[0]['msg']}") from error
