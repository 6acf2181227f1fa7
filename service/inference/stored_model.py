"""Models as they are stored: found on disk, read, and checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from service.inference.errors import InvalidModel
from service.inference.manifest import CARD_JSON_NAME, CARD_NAME, MANIFEST_NAME, Manifest, read_manifest, verify_files

_CARD = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model on disk whose files are those its manifest lists."""

    directory: Path
    manifest: Manifest
    digest: str
    card: str
    card_json: dict[str, Any] | None
    """The same card for programs; None where the model has none."""


def find_models(models_dir: Path) -> list[Path]:
    """Directories under `models_dir` that hold a manifest, by name and ascending version; hidden ones are not there.

    Raises:
        InvalidModel: there is none.
    """
    found = [path.parent for path in models_dir.glob(f"[!.]*/[!.]*/{MANIFEST_NAME}")]
    if not found:
        raise InvalidModel(f"no model in {models_dir}: expected <name>/<version>/{MANIFEST_NAME}")
    return sorted(found, key=lambda path: (path.parent.name, path.name.zfill(9)))


def read_model(directory: Path) -> StoredModel:
    """Read and verify the model in `directory`.

    Raises:
        InvalidModel: it is not the model its manifest or its place in the tree says it is.
    """
    manifest = read_manifest(directory)
    place = (directory.parent.name, directory.name)
    if (manifest.name, manifest.version) != place:
        raise InvalidModel(f"{directory} holds {manifest.name}/{manifest.version}, not {'/'.join(place)}")
    verify_files(directory, manifest)
    card_path, json_path = directory / CARD_NAME, directory / CARD_JSON_NAME
    return StoredModel(
        directory,
        manifest,
        manifest.digest,
        card_path.read_text(encoding="utf-8") if card_path.exists() else "",
        _read_card(json_path) if json_path.exists() else None,
    )


def _read_card(path: Path) -> dict[str, Any]:
    try:
        return _CARD.validate_json(path.read_bytes())
    except ValidationError as error:
        raise InvalidModel(f"{path}: not a JSON object: {error}") from error
