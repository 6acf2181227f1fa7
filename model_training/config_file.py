"""Reads a training config from a Python file."""

import importlib.util
import sys
from difflib import get_close_matches
from pathlib import Path
from traceback import walk_tb
from typing import Any

from pydantic import BaseModel, ValidationError

from model_training.config import ConfigPart, TrainConfig
from model_training.errors import InvalidConfig
from service.video.clip import ClipSpec


def read_config(path: Path) -> TrainConfig:
    """Run a config file, which is a Python file, and return its `CONFIG`.

    Raises:
        InvalidConfig: the file is missing, raises an error, or sets no valid `TrainConfig` named `CONFIG`.
    """
    spec = importlib.util.spec_from_file_location(f"_config_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InvalidConfig(f"{path}: no such config file (a Python file that sets CONFIG)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        raise InvalidConfig(f"{path}{_line_of(error, path)}: {_describe_first(error)}") from error
    except Exception as error:
        # An error of a config may have several lines; a message has one.
        reason = " ".join(str(error).split())
        raise InvalidConfig(f"{path}{_line_of(error, path)}: {type(error).__name__}: {reason}") from error
    finally:
        del sys.modules[spec.name]
    config = getattr(module, "CONFIG", None)
    if not isinstance(config, TrainConfig):
        raise InvalidConfig(f"{path}: sets no CONFIG = TrainConfig(...)")
    return validate_config(config, path)


def validate_config(config: TrainConfig, path: Path) -> TrainConfig:
    """Validate a config again: `model_copy` does not validate its updates.

    Raises:
        InvalidConfig: an option is invalid; the message names `path`.
    """
    try:
        return TrainConfig.model_validate(_values(config))
    except ValidationError as error:
        raise InvalidConfig(f"{path}: {_describe_first(error)}") from error


def _values(value: Any) -> Any:
    """The values of a config and its parts as plain dicts, unknown fields included."""
    if isinstance(value, BaseModel):
        return {name: _values(part) for name, part in vars(value).items()}
    return tuple(map(_values, value)) if isinstance(value, tuple | list) else value


def _line_of(error: Exception, path: Path) -> str:
    """The line of the config file that raised an error, as ", line 7"; empty if the file is not in the traceback."""
    file = path.resolve()
    lines = [line for frame, line in walk_tb(error.__traceback__) if Path(frame.f_code.co_filename).resolve() == file]
    return f", line {lines[-1]}" if lines else ""


def _describe_first(error: ValidationError) -> str:
    """Describe the first invalid option."""
    first = error.errors()[0]
    where = ".".join([error.title, *map(str, first["loc"])])
    if first["type"] != "extra_forbidden":
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    kinds: list[type[BaseModel]] = [*ConfigPart.__subclasses__(), ClipSpec]
    parts = {kind.__name__: kind for kind in kinds}
    known = [parts[error.title]] if len(first["loc"]) == 1 and error.title in parts else kinds
    names = [name for part in known for name in part.model_fields]
    near = get_close_matches(str(first["loc"][-1]), names, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"{where}: there is no such option{meant}"
