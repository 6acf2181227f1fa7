"""Reads arrays from a pickle of nested dicts without trusting the file.

The unpickler allows only the three names that a pickled NumPy array needs.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core.multiarray import _reconstruct
from numpy.typing import NDArray

from model_training.errors import TrainingError

_ALLOWED = {
    # The module name in NumPy before 2, which wrote the published files.
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the floating-point arrays of a file, by their nested keys joined with `/`.

    Raises:
        TrainingError: the file is not such a pickle, or it contains anything but arrays of floats.
    """
    try:
        with path.open("rb") as file:
            return _flat(_Unpickler(file).load(), "")
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise TrainingError(f"{path}: not a file of arrays: {error}") from error


def _flat(tree: Any, prefix: str) -> dict[str, NDArray[Any]]:
    if isinstance(tree, np.ndarray) and tree.dtype.kind == "f":
        return {prefix.removesuffix("/"): tree}
    if not isinstance(tree, dict):
        raise pickle.UnpicklingError(f"{prefix or 'the file'} holds a {type(tree).__name__}")
    arrays: dict[str, NDArray[Any]] = {}
    for name, branch in tree.items():
        arrays |= _flat(branch, f"{prefix}{name}/")
    return arrays


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise pickle.UnpicklingError(f"the file asks for {module}.{name}")
