"""Resolves host names by the system's resolver, so that a name without an answer delays no other name."""

import asyncio
import socket
import threading

_lookups: dict[str, asyncio.Future[list[str]]] = {}
"""The lookup in progress of each host."""


async def resolve_host(host: str, port: int | None) -> list[str]:  # noqa: ARG001 - a `Resolve`
    """The IP addresses of a host; raises OSError or UnicodeError if it has none.

    The system cannot cancel a lookup. Each runs in a thread of its own, at most one per host: callers that ask for the
    same host meanwhile share its result, and a caller that gives up leaves one thread behind, however often it asks.
    The end of the process does not wait for the thread.
    """
    loop = asyncio.get_running_loop()
    lookup = _lookups.get(host)
    if lookup is None or lookup.get_loop() is not loop:
        lookup = loop.create_future()
        thread = threading.Thread(target=_look_up, args=(host, lookup, loop), name=f"lookup {host}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise OSError("The system has no thread left for a lookup.") from error
        _lookups[host] = lookup
    return await asyncio.shield(lookup)


def _look_up(host: str, lookup: asyncio.Future[list[str]], loop: asyncio.AbstractEventLoop) -> None:
    """Resolve `host` and complete `lookup`. Blocks."""
    addresses, failure = [], None
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    except Exception as error:  # noqa: BLE001 - raised where the addresses are awaited
        failure = error

    def complete() -> None:
        if _lookups.get(host) is lookup:
            del _lookups[host]
        if failure is None:
            lookup.set_result(addresses)
        else:
            lookup.set_exception(failure)
            # The callers may have given up, and asyncio logs an exception that nothing retrieves.
            lookup.exception()

    try:
        loop.call_soon_threadsafe(complete)
    except RuntimeError:
        # The event loop is closed.
        return
