"""Default address and time limits of the client, in seconds."""

import math

import httpx

from framewise.client.errors import InvalidArgument

DEFAULT_URL = "http://127.0.0.1:8000"
REQUEST_TIMEOUT_SECONDS = 10.0
"""Longest wait for a response to a request without a video."""
VIDEO_TIMEOUT_SECONDS = 300.0
"""Longest wait for a response after a video was sent: five times the default deadline of a service."""
DEADLINE_MARGIN_SECONDS = 60.0
"""A request that names its own deadline waits at least this much longer than that."""
JOB_TIMEOUT_SECONDS = 86_400.0
"""Longest wait for the end of a job."""
_CONNECT_SECONDS = 10.0
_WRITE_SECONDS = 30.0
# The service sends a heartbeat at least every 15 s by default; a few heartbeats may be lost.
_EVENTS_SECONDS = 120.0


def http_timeout(seconds: float) -> httpx.Timeout:
    """The time limits of one attempt: at most `seconds` for connecting, each write, and the response."""
    return httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds), write=min(_WRITE_SECONDS, seconds))


def events_timeout(seconds: float) -> httpx.Timeout:
    """The time limits of one connection to the events of a job, which the caller awaits for `seconds`."""
    return http_timeout(min(_EVENTS_SECONDS, seconds))


def require_seconds(seconds: float) -> float:
    """The time limit in seconds.

    Raises:
        InvalidArgument: it is not a positive finite number.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise InvalidArgument(f"timeout is {seconds!r}; it must be a number of seconds above 0.")
    return float(seconds)
