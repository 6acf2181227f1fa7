"""`python -m service.healthcheck`: exit status 0 if the service with these settings is ready, otherwise 1.

For health checks that run beside the service, as in its container: SERVICE_HOST and SERVICE_PORT tell where it listens.
"""

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

_TIMEOUT_SECONDS = 4
# An address that stands for all addresses, and one of them; `::` stands for those of IPv4, too.
_ALL = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104 - nothing listens here


def is_ready(host: str, port: int) -> bool:
    """Whether the service that listens on this host and port reports that it is ready. Blocks for seconds at most."""
    connection = HTTPConnection(_ALL.get(host, host), port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(
        0 if is_ready(os.environ.get("SERVICE_HOST") or "127.0.0.1", int(os.environ.get("SERVICE_PORT") or 8000)) else 1
    )
