"""The models on disk: which versions exist, in which order to load them, and when their files change."""

from contextlib import suppress
from pathlib import Path

from service.inference.errors import InvalidModel
from service.inference.model_files import model_files
from service.inference.stored_model import find_models

NameAndVersion = tuple[str, str]
Signature = frozenset[tuple[str, int, int]]
"""Path, size and modification time of every file of a model, litter left out."""


def models_on_disk(models_dir: Path) -> dict[NameAndVersion, Path]:
    """The directories of all models, by name and version; empty if there is none. Blocks."""
    with suppress(InvalidModel):
        return {(directory.parent.name, directory.name): directory for directory in find_models(models_dir)}
    return {}


def scan_signatures(models_dir: Path) -> dict[NameAndVersion, Signature]:
    """The signatures of all models, by name and version; raises OSError if the directory cannot be read. Blocks."""
    return {model: _signature(directory) for model, directory in models_on_disk(models_dir).items()}


def latest_first(directories: list[Path], default_name: str) -> list[Path]:
    """Sort model directories: every model's latest version, then every model's second latest, and so on.

    Within a round the default model comes first. `directories` must be in the order of `find_models`.
    """
    num_newer: dict[Path, int] = {}
    num_seen: dict[str, int] = {}
    for directory in reversed(directories):
        num_newer[directory] = num_seen.get(directory.parent.name, 0)
        num_seen[directory.parent.name] = num_newer[directory] + 1
    return sorted(directories, key=lambda directory: (num_newer[directory], directory.parent.name != default_name))


def _signature(directory: Path) -> Signature:
    files = set()
    # A file that is being moved may vanish; it changes the signature now or at the next scan.
    with suppress(OSError):
        for path in model_files(directory):
            with suppress(OSError):
                found = (directory / path).stat()
                files.add((path, found.st_size, found.st_mtime_ns))
    return frozenset(files)
