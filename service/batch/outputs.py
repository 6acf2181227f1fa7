"""What a batch has found, as files of rows: JSON lines or Parquet, on a disk or in any storage that fsspec reaches.

A folder of parts, each written whole and given its name when it is: an interrupted batch leaves no half of
one, several machines write side by side, and storages that cannot append will do. What is done is what stands
in the parts; there is no other memory.
"""

import io
import json
import secrets
import types
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal, Union, get_args, get_origin

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from framewise.schemas.prediction import Prediction
from framewise.schemas.problem import Problem

Format = Literal["jsonl", "parquet"]
# Whoever reads a folder of Parquet leaves out names that begin like this.
_DESCRIPTION = "_batch.json"
_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


class Row(BaseModel):
    """What became of one file: its prediction, or the problem that a request would have been answered."""

    file: str
    num_bytes: int | None
    sha256: str | None
    prediction: Prediction | None
    problem: Problem | None


class OtherBatch(Exception):
    """The folder holds the rows of a batch that asked otherwise."""


def arrow_type(annotation: Any) -> pa.DataType:
    """The Arrow type of a field of the wire, so that every part has the same columns, whatever its rows lack."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return arrow_type(next(arm for arm in get_args(annotation) if arm is not types.NoneType))
    if origin is list:
        return pa.list_(arrow_type(get_args(annotation)[0]))
    if origin is Literal:
        return pa.string()
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return pa.struct([(name, arrow_type(field.annotation)) for name, field in annotation.model_fields.items()])
    return _SCALARS[annotation]


SCHEMA = pa.schema(list(arrow_type(Row)))


class RowFolder:
    """The rows of one batch, written so far and from now on."""

    def __init__(self, url: str, row_format: Format) -> None:
        self._storage, path = fsspec.url_to_fs(url)
        self._root = path.rstrip("/")
        self._format = row_format
        self._run = secrets.token_hex(4)
        self._num_parts = 0

    def open(self, question: dict[str, Any]) -> None:
        """Make the folder, or prove that what stands in it answers the same `question`.

        Raises:
            OtherBatch: it does not.
        """
        told = {"format": self._format, **question}
        path = f"{self._root}/{_DESCRIPTION}"
        self._storage.makedirs(self._root, exist_ok=True)
        if not self._storage.exists(path):
            self._write(_DESCRIPTION, json.dumps(told, indent=2).encode() + b"\n")
            return
        before = json.loads(self._storage.cat_file(path))
        differing = sorted(key for key in before.keys() | told.keys() if before.get(key) != told.get(key))
        if differing:
            raise OtherBatch(
                f"{path} is of a batch with another {' and '.join(differing)}. Choose another folder, or remove it."
            )

    def done(self) -> set[str]:
        """The files that have a row."""
        return {file for part in self._parts() for file, _ in self._outcomes(part)}

    def forget_problems(self, files: Collection[str]) -> None:
        """Remove the rows of those of `files` that have no prediction, so that they are looked at once more."""
        for part in self._parts():
            if any(has_problem and file in files for file, has_problem in self._outcomes(part)):
                rows = [row for row in self._read(part) if row["problem"] is None or row["file"] not in files]
                self._write(part.rpartition("/")[2], self._encode(rows))

    def add(self, rows: Iterable[Row]) -> None:
        """Write `rows` as the next part. Blocks until they are safe."""
        name = f"part-{self._run}-{self._num_parts:05}.{self._format}"
        self._write(name, self._encode([row.model_dump(mode="json") for row in rows]))
        self._num_parts += 1

    def _parts(self) -> Iterator[str]:
        yield from sorted(self._storage.glob(f"{self._root}/part-*.{self._format}"))

    def _outcomes(self, part: str) -> Iterator[tuple[str, bool]]:
        """Each row's file, and whether it has a problem instead of a prediction."""
        if self._format == "jsonl":
            rows: Iterable[dict[str, Any]] = self._read(part)
        else:
            with self._storage.open(part, "rb") as file:
                rows = pq.ParquetFile(file).read(columns=["file", "problem.code"]).to_pylist()
        yield from ((row["file"], row["problem"] is not None) for row in rows)

    def _read(self, part: str) -> list[dict[str, Any]]:
        with self._storage.open(part, "rb") as file:
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
        """Write a file that has its name only once it is whole."""
        unnamed = f"{self._root}/.{name}.{self._run}"
        self._storage.pipe_file(unnamed, data)
        self._storage.mv(unnamed, f"{self._root}/{name}")
