"""Finds, reads and verifies models on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from service.inference.errors import InvalidModel
from service.inference.manifest import CARD_JSON_NAME, CARD_NAME, MANIFEST_NAME, Manifest, read_manifest, verify_files
from service.inference.model_files import is_litter, read_regular_file

_CARD = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model on disk whose files match its manifest."""

    directory: Path
    manifest: Manifest
    digest: str
    card: str
    card_json: dict[str, Any] | None
    """The model card as JSON; None if the model has none."""


def find_models(models_dir: Path) -> list[Path]:
    """Directories `<name>/<version>` with a manifest, by name and ascending version; hidden directories are skipped.

    Raises:
        InvalidModel: there is no such directory.
    """
    found = [
        path.parent
        for path in models_dir.glob(f"*/*/{MANIFEST_NAME}")
        if not is_litter(path.parent.name) and not is_litter(path.parent.parent.name)
    ]
    if not found:
        raise InvalidModel(f"no model in {models_dir}: expected <name>/<version>/{MANIFEST_NAME}")
    return sorted(found, key=lambda path: (path.parent.name, path.name.zfill(9)))


def read_model(directory: Path) -> StoredModel:
    """Read the model in `directory` and verify its files.

    Raises:
        InvalidModel: the manifest is invalid, names another model, or does not match the files.
    """
    manifest = read_manifest(directory)
    name, version = directory.parent.name, directory.name
    if (manifest.name, manifest.version) != (name, version):
        raise InvalidModel(f"{directory} holds {manifest.name}/{manifest.version}, not {name}/{version}")
    verify_files(directory, manifest)
    card_path, json_path = directory / CARD_NAME, directory / CARD_JSON_NAME
    return StoredModel(
        directory,
        manifest,
        manifest.digest,
        _read_text(card_path) if CARD_NAME in manifest.files else "",
        _read_card(json_path) if CARD_JSON_NAME in manifest.files else None,
    )


def _read_text(path: Path) -> str:
    try:
        return read_regular_file(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidModel(f"{path}: it cannot be read as UTF-8: {error}") from error


def _read_card(path: Path) -> dict[str, Any]:
    try:
        return _CARD.validate_json(_read_text(path))
    except ValidationError as error:
        raise InvalidModel(f"{path}: not a JSON object: {error}") from error
