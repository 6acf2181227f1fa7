"""The row of a file, and the Arrow schema of the rows."""

import types
from typing import Any, Literal, Union, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel

from framewise.schemas.prediction import Prediction
from framewise.schemas.problem import Problem

_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


class Row(BaseModel):
    """The prediction of one file, or the problem that a request with this file would get."""

    file: str
    num_bytes: int | None
    sha256: str | None
    prediction: Prediction | None
    problem: Problem | None


def arrow_type(annotation: Any) -> pa.DataType:
    """The Arrow type of a field's annotation; it does not depend on data, so all parts have the same columns."""
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


def row_name(name: str) -> str:
    """The name of a file as its row has it: bytes that are no UTF-8 become escapes."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


SCHEMA = pa.schema(list(arrow_type(Row)))
