"""Default address and timeouts of the client."""

import httpx

DEFAULT_URL = "http://127.0.0.1:8000"
# The service enforces a deadline of its own, so reading a response has no time limit.
TIMEOUT = httpx.Timeout(30, read=None)
# The service sends a heartbeat at least every 15 s by default; a few heartbeats may be lost.
EVENTS_TIMEOUT = httpx.Timeout(30, read=120)
