"""The output of a batch: a folder of parts in JSON lines or Parquet, on a disk or in any storage of fsspec.

Each part is written under a temporary name and renamed when it is complete. So an interrupted batch leaves no partial
part, several machines can write to one folder, and the storage need not support appending. The parts are the only
record of finished files.
"""

import io
import json
import secrets
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.batch.options import Format
from service.batch.rows import SCHEMA, Row
from service.batch.storage import open_storage, raising_os_error

# Readers of Parquet folders skip names that start with an underscore.
_DESCRIPTION = "_batch.json"


class BatchMismatch(Exception):
    """The folder holds rows of a batch with another model, query or format."""


class RowFolder:
    """The folder of one batch: the rows of earlier runs and of this run."""

    def __init__(self, url: str, row_format: Format) -> None:
        self._storage, self._root = open_storage(url)
        self._format = row_format
        self._run = secrets.token_hex(4)
        self._num_parts = 0

    def open(self, batch: dict[str, Any]) -> None:
        """Create the folder, or check that its rows belong to the same `batch` (model, query). Blocks.

        Raises:
            BatchMismatch: the rows belong to another batch.
            OSError: the folder cannot be written.
        """
        description = {"format": self._format, **batch}
        path = f"{self._root}/{_DESCRIPTION}"
        with raising_os_error(self._root):
            if self._storage.isfile(self._root):
                raise NotADirectoryError(f"OUT ({self._root}) is a file. Name a folder for the rows.")
            self._storage.makedirs(self._root, exist_ok=True)
            stored = self._storage.cat_file(path) if self._storage.exists(path) else None
        if stored is None:
            self._write(_DESCRIPTION, json.dumps(description, indent=2).encode() + b"\n")
            return
        try:
            before = json.loads(stored)
        except ValueError:
            before = None
        if not isinstance(before, dict):
            raise BatchMismatch(f"{path} is not the description of a batch. Choose another OUT, or remove it.")
        keys = before.keys() | description.keys()
        differing = sorted(key for key in keys if before.get(key) != description.get(key))
        if differing:
            raise BatchMismatch(
                f"{path} describes a batch with another {' and '.join(differing)}. Choose another OUT, or remove it."
            )

    def files(self) -> set[str]:
        """Names of the files that have a row. Blocks."""
        return {file for part in self._parts() for file, _ in self._outcomes(part)}

    def remove_problems(self, files: Collection[str]) -> None:
        """Remove the rows of `files` that have a problem, so that these files are classified again. Blocks."""
        for part in self._parts():
            if any(has_problem and file in files for file, has_problem in self._outcomes(part)):
                rows = [row for row in self._read(part) if row["problem"] is None or row["file"] not in files]
                self._write(part.rpartition("/")[2], self._encode(rows))

    def add(self, rows: Iterable[Row]) -> None:
        """Write `rows` as the next part. Blocks until the part is stored."""
        name = f"part-{self._run}-{self._num_parts:05}.{self._format}"
        self._write(name, self._encode([row.model_dump(mode="json") for row in rows]))
        self._num_parts += 1

    def _parts(self) -> Iterator[str]:
        with raising_os_error(self._root):
            parts = sorted(self._storage.glob(f"{self._root}/part-*.{self._format}"))
        yield from parts

    def _outcomes(self, part: str) -> Iterator[tuple[str, bool]]:
        """The file of each row, and whether the row has a problem."""
        if self._format == "jsonl":
            rows: Iterable[dict[str, Any]] = self._read(part)
        else:
            with raising_os_error(part), self._storage.open(part, "rb") as file:
                rows = pq.ParquetFile(file).read(columns=["file", "problem.code"]).to_pylist()
        yield from ((row["file"], row["problem"] is not None) for row in rows)

    def _read(self, part: str) -> list[dict[str, Any]]:
        with raising_os_error(part), self._storage.open(part, "rb") as file:
            if self._format == "jsonl":
                return [json.loads(line) for line in file]
            rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
            return rows

    def _encode(self, rows: list[dict[str, Any]]) -> bytes:
        if self._format == "jsonl":
            return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), buffer, compression="zstd")
        return buffer.getvalue()

    def _write(self, name: str, data: bytes) -> None:
        """Write the file under a temporary name, and rename it when it is complete."""
        temporary = f"{self._root}/.{name}.{self._run}"
        with raising_os_error(self._root):
            self._storage.pipe_file(temporary, data)
            self._storage.mv(temporary, f"{self._root}/{name}")
