"""The input files of a batch, on a local disk or in any storage that fsspec supports."""

import hashlib
import os
from collections.abc import Collection
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from service.batch.file_selection import HEAD_BYTES, has_video_suffix, is_hidden, is_other_content, matches
from service.batch.options import Shard
from service.batch.storage import open_storage, raising_os_error
from service.uploads.receive import ReceivedVideo

_CHUNK_BYTES = 1 << 20


class VideoFolder:
    """The files under a path or URL, or a single file; `names` are relative to it."""

    def __init__(self, url: str) -> None:
        """Open the storage of `url`; raises OSError if it cannot be opened."""
        self._url = url
        self._storage, self._root = open_storage(url)
        self._is_local = isinstance(self._storage, LocalFileSystem)
        self.num_left_out = 0
        """Number of files that `names` left out, without hidden files."""

    def names(self, shard: Shard, patterns: Collection[str] = (), target: str | None = None) -> list[str]:
        """Sorted names of the files in the shard that match one of the patterns; without hidden files.

        Without patterns, files are left out that are certainly no videos, by their suffix and their content. Files
        below the URL `target`, the output of the batch, are no input. A single file is always taken.

        Raises:
            FileNotFoundError: there is no file.
            ValueError: `target` is the folder itself.
            OSError: the storage cannot be read.
        """
        below = None if target is None else self._path_below(target)
        if below == "":
            raise ValueError(f"OUT is IN ({self._url}). Choose another folder for the rows.")
        with raising_os_error(self._url):
            paths = self._storage.find(self._root)
        if not paths:
            raise FileNotFoundError(f"There is no file at {self._root}.")
        if paths == [self._root]:
            self._root = self._storage._parent(self._root)  # noqa: SLF001 - fsspec has no public name for it
            return [name for name in (paths[0].rpartition("/")[2],) if shard.includes(name)]
        names = {path[len(self._root) :].lstrip("/") for path in paths}
        shown = sorted(
            name
            for name in names
            if shard.includes(name) and not is_hidden(name) and not (below and name.startswith(f"{below}/"))
        )
        chosen = [name for name in shown if (matches(name, patterns) if patterns else self._may_be_video(name))]
        self.num_left_out = len(shown) - len(chosen)
        if not chosen and self.num_left_out and shard.count == 1:
            raise FileNotFoundError(
                f"{self._url} has no video, but {self.num_left_out} other files; --include '*' takes all."
            )
        return chosen

    def fetch(self, name: str, download_path: Path) -> ReceivedVideo:
        """The file in the form of a received upload; a remote file is downloaded to `download_path`.

        Blocks. Raises OSError if the file cannot be read.
        """
        path = f"{self._root}/{name}"
        if self._is_local and _is_utf8(path):
            return received_video(Path(path))
        with raising_os_error(path):
            self._storage.get_file(path, str(download_path))
        return received_video(download_path)

    def _may_be_video(self, name: str) -> bool:
        if has_video_suffix(name):
            return True
        path = f"{self._root}/{name}"
        try:
            with raising_os_error(path):
                return not is_other_content(self._storage.cat_file(path, start=0, end=HEAD_BYTES))
        except OSError:
            # Its row states why it cannot be read.
            return True

    def _path_below(self, url: str) -> str | None:
        """The path of `url` relative to this folder, empty for the folder itself; None if it is outside."""
        storage, path = open_storage(url)
        if type(storage) is not type(self._storage):
            return None
        root = self._root
        if self._is_local:
            root, path = os.path.realpath(root), os.path.realpath(path)
        if path == root:
            return ""
        return path.removeprefix(f"{root}/") if path.startswith(f"{root}/") else None


def _is_utf8(path: str) -> bool:
    """Whether FFmpeg can open the path; a file with another name is copied first."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def received_video(path: Path) -> ReceivedVideo:
    """The file with its size and SHA-256 digest. Blocks."""
    digest, num_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            num_bytes += len(chunk)
    return ReceivedVideo(path, num_bytes, digest.hexdigest())
