"""Errors of task groups."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def first_error() -> Iterator[None]:
    """Raise the first error of a task group in the `with` block, instead of an ExceptionGroup.

    The first error cancels the other tasks of the group, so it is the only cause.
    """
    try:
        yield
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
