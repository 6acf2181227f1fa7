"""Input files: shards and hidden files."""

import sys
from pathlib import Path

import pytest

from service.batch.inputs import VideoFolder
from service.batch.options import Shard

NAMES = [f"video {number}.mp4" for number in range(200)]


@pytest.mark.parametrize("count", [1, 2, 8])
def test_every_file_is_in_exactly_one_shard(count: int) -> None:
    shards = [Shard.parse(f"{number}/{count}") for number in range(1, count + 1)]
    held = [[name for name in NAMES if shard.includes(name)] for shard in shards]
    assert sorted(name for names in held for name in names) == sorted(NAMES)
    # The shards have similar sizes: a third of the mean at least.
    assert all(len(names) > 200 / count / 3 for names in held)


def test_the_shards_include_nested_files_and_exclude_hidden_files(tmp_path: Path) -> None:
    for name in ("a.mp4", "below/b.mp4", "below/deeper/c.mp4", ".hidden", ".git/d.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    folder = VideoFolder(str(tmp_path))
    names = [name for number in (1, 2, 3) for name in folder.names(Shard(number, 3))]
    assert sorted(names) == ["a.mp4", "below/b.mp4", "below/deeper/c.mp4"]
    assert VideoFolder(str(tmp_path / "a.mp4")).names(Shard(1, 1)) == ["a.mp4"]
    with pytest.raises(FileNotFoundError):
        VideoFolder(str(tmp_path / "nowhere")).names(Shard(1, 1))


def test_notes_pictures_and_sounds_are_left_out_and_counted(tmp_path: Path) -> None:
    files = {
        "a.mp4": b"text, but named like a video",
        "B.MOV": b"",
        "recording": b"\0\0\0\x18ftypmp42",
        "raw.bin": bytes(range(64)),
        "notes.txt": "Überall".encode(),
        "list.csv": b"a,b\n",
        "photo.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF",
        "sound.wav": b"RIFF\0\0\0\0WAVEfmt ",
        "paper.pdf": b"%PDF-1.7\n\xe2",
        "empty": b"",
        ".DS_Store": b"\0\0\0\1Bud1",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    folder = VideoFolder(str(tmp_path))
    assert folder.names(Shard(1, 1)) == ["B.MOV", "a.mp4", "raw.bin", "recording"]
    assert folder.num_left_out == 6
    assert VideoFolder(str(tmp_path / "notes.txt")).names(Shard(1, 1)) == ["notes.txt"]
    for name in ("B.MOV", "a.mp4", "raw.bin", "recording"):
        (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match="has no video, but 6 other files"):
        folder.names(Shard(1, 1))


def test_include_takes_the_files_that_match_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a.MP4", "notes.txt", "below/b.mp4", "below/c.mov", ".hidden.mp4"):
        (tmp_path / name).write_bytes(b"")
    folder = VideoFolder(str(tmp_path))
    assert folder.names(Shard(1, 1), ["*.mp4"]) == ["a.MP4", "below/b.mp4"]
    assert folder.num_left_out == 2
    assert folder.names(Shard(1, 1), ["below/*", "*.txt"]) == ["below/b.mp4", "below/c.mov", "notes.txt"]


def test_the_output_below_the_input_is_no_input_and_the_input_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("a.mp4", "out/part.mp4"):
        (tmp_path / name).write_bytes(b"")
    folder = VideoFolder(str(tmp_path))
    assert folder.names(Shard(1, 1), ["*.mp4"], str(tmp_path / "out")) == ["a.mp4"]
    link = tmp_path.with_name(f"{tmp_path.name}-link")
    link.symlink_to(tmp_path, target_is_directory=True)
    for target in (tmp_path, tmp_path / "out" / "..", link):
        with pytest.raises(ValueError, match="OUT is IN"):
            folder.names(Shard(1, 1), [], str(target))


@pytest.mark.parametrize("url", ["s3://bucket/videos", "https://example.org/videos", "nothing://a"])
def test_a_storage_that_cannot_be_used_is_an_os_error_of_one_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("s3fs", "aiohttp"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(OSError, match=r"needs another package|cannot be used") as caught:
        VideoFolder(url).names(Shard(1, 1))
    assert str(caught.value).startswith(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/2/3"])
def test_an_invalid_shard_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Shard.parse(text)
