"""Input files: shards and hidden files."""

from pathlib import Path

import pytest

from service.batch.inputs import Shard, VideoFolder

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


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/2/3"])
def test_an_invalid_shard_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Shard.parse(text)
