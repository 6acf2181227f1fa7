"""Runs a blocking call of the asynchronous client on a worker thread."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


async def in_thread(
    call: Callable[_Parameters, _Result], /, *arguments: _Parameters.args, **options: _Parameters.kwargs
) -> _Result:
    """The result of `call`. A synchronous caller calls it directly."""
    return await asyncio.to_thread(call, *arguments, **options)
