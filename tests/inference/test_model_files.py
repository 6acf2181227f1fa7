"""The files of a model's directory: litter is left out, every real file is verified, and no read blocks."""

import os
import shutil
from pathlib import Path

import pytest

from service.inference.errors import InvalidModel
from service.inference.manifest import Manifest, file_digests, read_manifest, verify_files
from service.inference.model_files import MAX_TEXT_BYTES, model_files, read_regular_file
from service.inference.stored_model import find_models, read_model
from service.model_control.models_directory import scan_signatures

SHIPPED = Path(__file__).parents[2] / "models" / "events" / "2"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of a shipped model."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "models" / "events" / "2"))


def accept_changes(model: Path, **fields: object) -> Manifest:
    """Replace fields of the manifest, and return it."""
    manifest = read_manifest(model).model_copy(update=fields)
    (model / "manifest.json").write_text(manifest.to_json())
    return manifest


LITTER = (
    *(".DS_Store", "._saved_model.pb", ".nfs000000000001", ".fuse_hidden01", ".directory", "Thumbs.db", "desktop.ini"),
    *("@eaDir/x", "lost+found/x", ".snapshot/hourly/saved_model.pb", "__MACOSX/._x", "#recycle/x", "golden/.DS_Store"),
    *("variables/@eaDir/x", "..2026_01_01/manifest.json", "System Volume Information/x"),
)


@pytest.mark.parametrize("name", LITTER)
def test_litter_of_systems_and_file_servers_does_not_change_a_model(model: Path, name: str) -> None:
    before, signatures = file_digests(model), scan_signatures(model.parents[1])
    path = model / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    assert read_model(model).digest == read_model(SHIPPED).digest
    assert file_digests(model) == before
    assert scan_signatures(model.parents[1]) == signatures
    # Above the versions, too.
    for directory in (model.parents[1] / name, model.parent / name):
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.write_bytes(b"x")
    assert find_models(model.parents[1]) == [model]


@pytest.mark.parametrize(
    "name", ["extra.txt", "saved_model.pbtxt", "variables/variables.data-00001-of-00002", "assets/a.txt", "new/.x/../y"]
)
def test_any_other_file_that_is_not_listed_is_refused(model: Path, name: str) -> None:
    path = Path(os.path.normpath(model / name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    with pytest.raises(InvalidModel, match=path.name):
        read_model(model)


def test_a_listed_file_is_verified_whatever_its_name(model: Path) -> None:
    (model / ".vocabulary").write_text("a b")
    digests = file_digests(model) | {".vocabulary": "0" * 64}
    with pytest.raises(InvalidModel, match=r"\.vocabulary"):
        verify_files(model, accept_changes(model, files=digests))


def test_a_mounted_config_map_is_a_model(model: Path) -> None:
    """Each file is a link through `..data`, a link that is replaced when the map changes."""
    revision = model / "..2026_01_01_00_00_00.1"
    files = [path for path in model.iterdir() if path.name != revision.name]
    revision.mkdir()
    (model / "..data").symlink_to(revision.name)
    for path in files:
        path.rename(revision / path.name)
        path.symlink_to(Path("..data") / path.name)
    assert read_model(model).digest == read_model(SHIPPED).digest
    before = scan_signatures(model.parents[1])
    with (revision / "golden" / "extra.mp4").open("wb") as file:
        file.write(b"x")
    with pytest.raises(InvalidModel, match=r"golden/extra\.mp4"):
        read_model(model)
    assert scan_signatures(model.parents[1]) != before


def test_links_in_a_circle_end(model: Path) -> None:
    (model / "golden" / "again").symlink_to(model)
    (model / "nowhere").symlink_to(model / "absent")
    assert model_files(model) == model_files(SHIPPED)


@pytest.mark.parametrize("name", ["manifest.json", "MODEL_CARD.md", "MODEL_CARD.json", "saved_model.pb"])
def test_a_pipe_in_place_of_a_file_is_refused_and_blocks_no_read(model: Path, name: str) -> None:
    (model / name).unlink()
    os.mkfifo(model / name)
    with pytest.raises(InvalidModel, match=name):
        read_model(model)
    assert find_models(model.parents[1]) == [model]
    scan_signatures(model.parents[1])


def test_a_pipe_that_is_no_file_of_the_model_is_not_read(model: Path) -> None:
    card = (model / "MODEL_CARD.md").read_text()
    files = {path: digest for path, digest in file_digests(model).items() if path != "MODEL_CARD.md"}
    accept_changes(model, files=files)
    (model / "MODEL_CARD.md").unlink()
    os.mkfifo(model / "MODEL_CARD.md")
    assert read_model(model).card != card
    os.mkfifo(model / "pipe")
    assert read_model(model).card == ""


def test_a_device_or_a_huge_file_is_not_a_manifest(model: Path) -> None:
    path = model / "manifest.json"
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(InvalidModel, match="not a regular file"):
        read_manifest(model)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(MAX_TEXT_BYTES)
    assert len(read_regular_file(path)) == MAX_TEXT_BYTES
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(InvalidModel, match=str(MAX_TEXT_BYTES)):
        read_manifest(model)


@pytest.mark.parametrize("path", ["../../../outside", "/etc/hostname", "golden/../../../../outside"])
def test_a_listed_path_outside_the_directory_is_refused(model: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "outside").write_text("x")
    with pytest.raises(InvalidModel, match="missing"):
        verify_files(model, accept_changes(model, files=file_digests(model) | {path: "0" * 64}))


@pytest.mark.skipif(os.getuid() == 0, reason="root may read any file")
def test_a_file_without_permission_makes_the_model_invalid(model: Path) -> None:
    (model / "saved_model.pb").chmod(0)
    with pytest.raises(InvalidModel, match="cannot be read"):
        read_model(model)
