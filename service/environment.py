"""Reads settings from the environment, and states each fault in one line that names the variable."""

import difflib
import os
import re
from collections.abc import Collection, Iterable
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import BaseSettings

PREFIX = "SERVICE_"
INVALID_SETTINGS_STATUS = 2
"""Exit status of a program whose settings are invalid."""

_Settings = TypeVar("_Settings", bound=BaseSettings)

# What Kubernetes and Docker set in every container for a Service whose name begins with `service`:
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK = re.compile(r"SERVICE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")
_MAX_SHOWN_CHARACTERS = 80


class InvalidSettings(Exception):
    """The service cannot start with these settings; the text has one line for each fault."""


def read_environment(schema: type[_Settings]) -> _Settings:
    """The settings of `schema` from the environment.

    Raises:
        InvalidSettings: a value is invalid.
    """
    try:
        return schema()
    except ValidationError as error:
        raise InvalidSettings("\n".join(_fault_line(fault, schema) for fault in error.errors())) from None


def unknown_names(known: Collection[str], ignored: Iterable[str] = ()) -> list[str]:
    """Names of variables that begin with `SERVICE_` and are neither among `known` nor set by an orchestrator."""
    accepted = {*known, *(name.upper() for name in ignored)}
    return sorted(
        name
        for name, value in os.environ.items()
        if name.upper().startswith(PREFIX)
        and value
        and name.upper() not in accepted
        and _SERVICE_LINK.fullmatch(name) is None
        and _LINK_VALUE.match(value) is None
    )


def nearest_name(name: str, known: Iterable[str], min_likeness: float = 0.0) -> str | None:
    """The name of `known` that is spelled most like `name`; None if none reaches `min_likeness`, 0 to 1."""
    found = difflib.get_close_matches(name.upper(), sorted(known), n=1, cutoff=min_likeness)
    return found[0] if found else None


def variable_names(schema: type[BaseModel]) -> set[str]:
    """The names of the variables that `schema` reads."""
    return {PREFIX + name.upper() for name in schema.model_fields}


def _fault_line(fault: Any, schema: type[BaseModel]) -> str:
    message = " ".join(str(fault["msg"]).removeprefix("Value error, ").split())
    if not fault["loc"]:
        # The message of a fault in several settings names them.
        return message
    name, *path = fault["loc"]
    variable = PREFIX + str(name).upper()
    item = "".join(f" item {part + 1}:" for part in path if isinstance(part, int))
    field = schema.model_fields.get(str(name))
    is_secret = field is None or SecretStr in {field.annotation, *get_args(field.annotation)}
    if fault["type"] != "value_error" and not is_secret:
        message = f"{message}; it is {_shown(fault['input'])}"
    return f"{variable}:{item} {message}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}..."
