"""Reads the manifest and the card of an exported model."""

from pathlib import Path

from pydantic import ValidationError

from model_training.errors import TrainingDataError
from model_training.export.card import Card
from service.inference.errors import InvalidModel
from service.inference.manifest import CARD_JSON_NAME, Manifest, read_manifest, verify_files


def read_verified_manifest(directory: Path) -> Manifest:
    """The manifest of a model, whose files have the digests that it lists.

    Raises:
        TrainingDataError: the directory holds no such model.
    """
    try:
        manifest = read_manifest(directory)
        verify_files(directory, manifest)
    except InvalidModel as error:
        raise TrainingDataError(str(error)) from error
    return manifest


def read_card(directory: Path) -> Card:
    """The card of a model.

    Raises:
        TrainingDataError: it cannot be read.
    """
    try:
        return Card.model_validate_json((directory / CARD_JSON_NAME).read_bytes())
    except OSError as error:
        raise TrainingDataError(f"{directory}: no readable {CARD_JSON_NAME}: {error.strerror}") from error
    except ValidationError as error:
        raise TrainingDataError(f"{directory}/{CARD_JSON_NAME}: not a card: {error.errors()[0]['msg']}") from error
