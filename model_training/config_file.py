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
    """The `CONFIG` of a config file, which is a Python file and is run.

    Raises:
        InvalidConfig: no such file, it does not run, or it holds no valid `TrainConfig` named `CONFIG`.
    """
    spec = importlib.util.spec_from_file_location(f"_config_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InvalidConfig(f"{path}: no such config file; a config is a Python file that sets CONFIG")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        raise InvalidConfig(f"{path}{_line_of(error, path)}: {_sentence(error)}") from error
    except Exception as error:
        # What a config raises may have any number of lines; a message has one.
        reason = " ".join(str(error).split())
        raise InvalidConfig(f"{path}{_line_of(error, path)}: {type(error).__name__}: {reason}") from error
    finally:
        del sys.modules[spec.name]
    config = getattr(module, "CONFIG", None)
    if not isinstance(config, TrainConfig):
        raise InvalidConfig(f"{path}: sets no CONFIG = TrainConfig(...)")
    return validate_config(config, path)


def validate_config(config: TrainConfig, path: Path) -> TrainConfig:
    """The config, if it is valid: one that was made of another by `model_copy` has not been checked, nor has any part.

    Raises:
        InvalidConfig: it is not; the message names `path`.
    """
    try:
        return TrainConfig.model_validate(_given(config))
    except ValidationError as error:
        raise InvalidConfig(f"{path}: {_sentence(error)}") from error


def _given(value: Any) -> Any:
    """What a config and its parts were given, as plain dicts, be there a field of that name or not."""
    if isinstance(value, BaseModel):
        return {name: _given(part) for name, part in vars(value).items()}
    return tuple(map(_given, value)) if isinstance(value, tuple | list) else value


def _line_of(error: Exception, path: Path) -> str:
    """Where in the config file an error came from, as ", line 7"; empty if nowhere in it."""
    file = path.resolve()
    lines = [line for frame, line in walk_tb(error.__traceback__) if Path(frame.f_code.co_filename).resolve() == file]
    return f", line {lines[-1]}" if lines else ""


def _sentence(error: ValidationError) -> str:
    """What is wrong with the first wrong knob."""
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
    return f"{where}: there is no such knob{meant}"
