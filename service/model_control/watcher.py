"""Watches the models directory, and loads models that appear or change there."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from service.inference.errors import InferenceError
from service.lifecycle import NotReady
from service.model_control.models_directory import NameAndVersion, Signature, scan_signatures

_log = logging.getLogger(__name__)

LoadModel = Callable[[str, str], Awaitable[None]]
"""Loads a model by name and version; raises InferenceError or NotReady."""
ForgetModel = Callable[[NameAndVersion], None]
"""Is told of a model that is no longer in the directory."""


async def watch_models(
    models_dir: Path,
    interval_seconds: float,
    attempted: Mapping[NameAndVersion, Signature],
    *,
    load: LoadModel,
    forget: ForgetModel,
    is_needed: Callable[[], bool],
) -> None:
    """Scan the models directory at an interval, and load new and changed models, while `is_needed`. Unloads none.

    A model is loaded once two scans in a row find the same files, so that a copy in progress is not loaded. After a
    failure it is loaded again when its files change. `attempted` are the files of the models that were loaded, or
    failed, before.
    """
    attempted, previous = dict(attempted), dict(attempted)
    while is_needed():
        await asyncio.sleep(interval_seconds)
        current = await scan_or_empty(models_dir)
        for model, signature in current.items():
            if signature == previous.get(model) and signature != attempted.get(model):
                attempted[model] = signature
                await _try_to_load(load, *model)
        for model in attempted.keys() - current.keys() - previous.keys():
            # If it comes back, it is a new model.
            del attempted[model]
            forget(model)
        previous = current


async def wait_for_change(
    models_dir: Path, interval_seconds: float, attempted: Mapping[NameAndVersion, Signature]
) -> None:
    """Return when two scans in a row find the same files, other than those of `attempted`."""
    previous: Mapping[NameAndVersion, Signature] = attempted
    while True:
        await asyncio.sleep(interval_seconds)
        current = await scan_or_empty(models_dir)
        if current == previous and current != attempted:
            return
        previous = current


async def scan_or_empty(models_dir: Path) -> dict[NameAndVersion, Signature]:
    """The signatures of all models; empty if the directory cannot be read."""
    try:
        return await asyncio.to_thread(scan_signatures, models_dir)
    except OSError:
        # A directory was removed during the scan, or the disk does not respond.
        _log.warning("the models directory cannot be read", exc_info=True)
        return {}


async def _try_to_load(load: LoadModel, name: str, version: str) -> None:
    try:
        await load(name, version)
    except (InferenceError, NotReady, OSError) as error:
        _log.warning("a model was not loaded", extra={"model": f"{name}/{version}", "error": str(error)})
    except Exception:  # noqa: BLE001 - logged; no caller could handle it
        # No file in the models directory may stop the watcher or the loaded models.
        _log.exception("a model was not loaded", extra={"model": f"{name}/{version}"})
