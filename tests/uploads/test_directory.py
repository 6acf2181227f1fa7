"""The upload directory: removes the files of its own and of killed processes only."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from service.uploads.directory import UploadDirectory, raising_storage_errors
from service.uploads.errors import StorageFull, StorageUnavailable

ROOT = Path(__file__).parents[2]


@contextmanager
def opened(parent: Path) -> Iterator[UploadDirectory]:
    uploads = UploadDirectory(parent)
    uploads.open()
    try:
        yield uploads
    finally:
        uploads.close()


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def test_files_are_removed_after_the_request_and_the_directory_at_close(tmp_path: Path) -> None:
    with opened(tmp_path) as uploads:
        with uploads.reserve_path() as path:
            path.write_bytes(b"video")
            assert files_in(tmp_path) == [path]
            assert path.parent.stat().st_mode & 0o777 == 0o700
        assert files_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_the_directory_of_a_killed_process_is_removed_and_that_of_a_running_one_is_kept(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from service.uploads.directory import UploadDirectory\n"
        f"uploads = UploadDirectory(Path({str(tmp_path)!r})); uploads.open()\n"
        "with uploads.reserve_path() as path:\n"
        "    path.write_bytes(b'video'); print(path, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().decode().strip())
        with opened(tmp_path), opened(tmp_path):
            assert left.read_bytes() == b"video"
        process.kill()
    assert left.exists()
    with opened(tmp_path):
        assert not left.parent.exists()
    assert list(tmp_path.iterdir()) == []


def test_several_services_share_a_parent_directory(tmp_path: Path) -> None:
    with ExitStack() as services:
        paths = []
        for _ in range(20):
            uploads = services.enter_context(opened(tmp_path))
            path = services.enter_context(uploads.reserve_path())
            path.write_bytes(b"video")
            paths.append(path)
        assert all(path.exists() for path in paths)


def test_a_symbolic_link_with_the_prefix_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "framewise-uploads-link").symlink_to(outside)
    with opened(tmp_path / "uploads"):
        assert (outside / "kept").exists()


@pytest.mark.parametrize("removed", ["the directory", "its parent", "a part of it"])
def test_a_directory_that_is_removed_is_made_again(tmp_path: Path, removed: str) -> None:
    parent = tmp_path / "uploads"
    with opened(parent) as uploads:
        with uploads.reserve_path() as first:
            first.write_bytes(b"video")
            if removed == "a part of it":
                first.unlink()
            else:
                shutil.rmtree(parent if removed == "its parent" else first.parent)
            with uploads.reserve_path() as second:
                second.write_bytes(b"video")
                assert second.parent.stat().st_mode & 0o777 == 0o700
            uploads.open()
            assert files_in(parent) == []
        (own,) = parent.iterdir()
        # It is locked like the first one.
        with opened(parent):
            assert own.exists()
    assert list(parent.iterdir()) == []


def test_another_file_or_disk_in_its_place_is_noticed(tmp_path: Path) -> None:
    with opened(tmp_path) as uploads:
        with uploads.reserve_path() as path:
            own = path.parent
        own.rmdir()
        own.mkdir()
        with uploads.reserve_path() as path:
            assert path.parent != own
        shutil.rmtree(path.parent)
        path.parent.write_text("a file")
        with uploads.reserve_path() as path:
            path.write_bytes(b"video")


def test_a_directory_that_cannot_be_made_again_is_unavailable_until_it_can(tmp_path: Path) -> None:
    parent = tmp_path / "uploads"
    uploads = UploadDirectory(parent)
    parent.write_text("a file")
    with pytest.raises(OSError, match="exists"):
        uploads.open()
    with pytest.raises(StorageUnavailable), uploads.reserve_path():
        pass
    parent.unlink()
    with uploads.reserve_path() as path:
        path.write_bytes(b"video")
    uploads.close()
    with pytest.raises(StorageUnavailable), uploads.reserve_path():
        pass
    assert list(parent.iterdir()) == [], "it is not made again after the end"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    mounted = subprocess.run(
        ["/usr/bin/mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    yield tmp_path
    subprocess.run(["/usr/bin/umount", str(tmp_path)], check=True)


def test_a_full_disk_is_storage_full(small_disk: Path) -> None:
    with opened(small_disk) as uploads:
        with pytest.raises(StorageFull), uploads.reserve_path() as path:
            path.write_bytes(b"x" * 200_000)
        with uploads.reserve_path() as path:
            path.write_bytes(b"x" * 20_000)


@pytest.mark.parametrize(
    ("number", "raised"),
    [
        (errno.EMFILE, OSError),
        (errno.ENOSPC, StorageFull),
        (errno.EROFS, StorageUnavailable),
        (errno.EIO, StorageUnavailable),
        (errno.ESTALE, StorageUnavailable),
    ],
)
def test_each_error_of_a_file_is_told_apart(number: int, raised: type[Exception]) -> None:
    with pytest.raises(raised) as caught, raising_storage_errors():
        raise OSError(number, "")
    assert type(caught.value) is raised


def test_a_full_device_is_storage_full(tmp_path: Path) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("this system has no /dev/full")
    with opened(tmp_path) as uploads, pytest.raises(StorageFull), uploads.reserve_path():
        Path("/dev/full").write_bytes(b"x" * 200_000)
