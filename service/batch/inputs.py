"""Which videos a batch is about, and their bytes: from a disk, or from any storage that fsspec reaches."""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem

from service.uploads.receive import ReceivedVideo

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`th of `count` parts of the input, from 1. Which files are in it depends on their names alone."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """`3/8` is the third of eight; raises ValueError for what is no such thing."""
        number, count = (int(part) for part in text.split("/"))
        if not 1 <= number <= count:
            raise ValueError("a shard is between 1/N and N/N")
        return cls(number, count)

    def holds(self, name: str) -> bool:
        """Whether the file of this name is in the shard; it is in exactly one of `count`."""
        return int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8]) % self.count == (
            self.number - 1
        )


class VideoFolder:
    """The files below a place, or the one file there; `names` are relative to it."""

    def __init__(self, url: str) -> None:
        self._storage, path = fsspec.url_to_fs(url)
        self._root = path.rstrip("/")
        self._is_local = isinstance(self._storage, LocalFileSystem)

    def names(self, shard: Shard) -> list[str]:
        """The files of the shard, by name, hidden ones left out.

        Raises:
            FileNotFoundError: there is nothing at that place.
        """
        paths = self._storage.find(self._root)
        if not paths:
            raise FileNotFoundError(f"There is no file at {self._root}.")
        if paths == [self._root]:
            self._root = self._storage._parent(self._root)  # noqa: SLF001 - fsspec has no public name for it
        names = sorted(path[len(self._root) :].lstrip("/") for path in paths)
        hidden = (name for name in names if any(part.startswith(".") for part in PurePosixPath(name).parts))
        return [name for name in sorted(set(names) - set(hidden)) if shard.holds(name)]

    def fetch(self, name: str, place: Path) -> ReceivedVideo:
        """The file as an upload is known: where it lies on this disk, which is `place` if it comes from elsewhere.

        Blocks while it comes. Raises OSError where it cannot be had.
        """
        path = f"{self._root}/{name}"
        if self._is_local:
            return received(Path(path))
        self._storage.get_file(path, str(place))
        return received(place)


def received(path: Path) -> ReceivedVideo:
    """The file with its size and digest."""
    digest, num_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            num_bytes += len(chunk)
    return ReceivedVideo(path, num_bytes, digest.hexdigest())
