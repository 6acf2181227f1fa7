"""The input files of a batch, on a local disk or in any storage that fsspec supports."""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem

from service.uploads.receive import ReceivedVideo

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number`, counted from 1, of `count` parts of the input. The part of a file depends on its name only."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard that `text` describes: `3/8` is the third of eight. Raises ValueError for any other format."""
        number, count = (int(part) for part in text.split("/"))
        if not 1 <= number <= count:
            raise ValueError("a shard is between 1/N and N/N")
        return cls(number, count)

    def includes(self, name: str) -> bool:
        """Whether the shard includes the file; exactly one of the `count` shards does."""
        return int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8]) % self.count == (
            self.number - 1
        )


class VideoFolder:
    """The files under a path or URL, or a single file; `names` are relative to it."""

    def __init__(self, url: str) -> None:
        self._storage, path = fsspec.url_to_fs(url)
        self._root = path.rstrip("/")
        self._is_local = isinstance(self._storage, LocalFileSystem)

    def names(self, shard: Shard) -> list[str]:
        """Sorted names of the files in the shard, without hidden files.

        Raises:
            FileNotFoundError: there is no file.
        """
        paths = self._storage.find(self._root)
        if not paths:
            raise FileNotFoundError(f"There is no file at {self._root}.")
        if paths == [self._root]:
            self._root = self._storage._parent(self._root)  # noqa: SLF001 - fsspec has no public name for it
        names = sorted(path[len(self._root) :].lstrip("/") for path in paths)
        hidden = (name for name in names if any(part.startswith(".") for part in PurePosixPath(name).parts))
        return [name for name in sorted(set(names) - set(hidden)) if shard.includes(name)]

    def fetch(self, name: str, download_path: Path) -> ReceivedVideo:
        """The file in the form of a received upload; a remote file is downloaded to `download_path`.

        Blocks. Raises OSError if the file cannot be read.
        """
        path = f"{self._root}/{name}"
        if self._is_local:
            return received_video(Path(path))
        self._storage.get_file(path, str(download_path))
        return received_video(download_path)


def received_video(path: Path) -> ReceivedVideo:
    """The file with its size and SHA-256 digest. Blocks."""
    digest, num_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            num_bytes += len(chunk)
    return ReceivedVideo(path, num_bytes, digest.hexdigest())
