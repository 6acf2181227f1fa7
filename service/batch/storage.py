"""Storages of fsspec, whose errors of any kind become OSError."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec


def open_storage(url: str) -> tuple[Any, str]:
    """The storage of a path or URL, and the path in it without a trailing slash.

    Raises:
        OSError: the kind of storage is unknown, or the package for it is missing.
    """
    with raising_os_error(url):
        storage, path = fsspec.url_to_fs(url)
    return storage, path.rstrip("/") or path


@contextmanager
def raising_os_error(url: str) -> Iterator[None]:
    """Raise an OSError that names `url` if the storage fails in the `with` block, whatever its driver raises."""
    try:
        yield
    except OSError:
        raise
    except ImportError as error:
        # fsspec names the package, such as s3fs.
        raise OSError(f"{url} needs another package: {_one_line(error)}.") from error
    except Exception as error:
        raise OSError(f"{url} cannot be used: {_one_line(error) or type(error).__name__}.") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
