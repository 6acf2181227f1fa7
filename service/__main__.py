"""`python -m service`: starts the HTTP server."""

import logging
import os
import sys
import threading
import time

import uvicorn

from service.api.bounded_protocol import BoundedProtocol
from service.api.path_prefix import ForwardedHeaders
from service.api.server import DrainingServer, listen
from service.app import create_app
from service.environment import INVALID_SETTINGS_STATUS, InvalidSettings
from service.settings import read_settings
from service.telemetry.logs import set_up_logging
from service.video.sandbox.isolation import become_undumpable

CANNOT_LISTEN_EXIT_STATUS = 3
"""Exit status if the address is taken or not permitted."""

_BACKLOG = 2048
"""Connections that wait to be accepted."""
_THREAD_SECONDS = 1.0
"""Time for the threads of a closed service to end."""


def main() -> int:
    """Run the service; the exit status is 0 after a drain, 2 for invalid settings, 3 if the address is taken.

    `service.api.server` ends the process with 4 if it cannot be closed in time.
    """
    # Before any secret is read: decode workers run as the same user, and a malicious video may take one over.
    become_undumpable()
    try:
        settings = read_settings()
    except InvalidSettings as error:
        sys.stderr.write(f"{error}\n")
        return INVALID_SETTINGS_STATUS
    set_up_logging(settings.log_level)
    try:
        # Before anything is started, which would have to be closed again.
        sockets = listen(settings.host, settings.port, _BACKLOG)
    except OSError as error:
        sys.stderr.write(
            f"The service cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}. "
            "Set SERVICE_HOST and SERVICE_PORT to a free address.\n"
        )
        return CANNOT_LISTEN_EXIT_STATUS
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        backlog=_BACKLOG,
        log_config=None,
        access_log=False,
        server_header=False,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    config.app = ForwardedHeaders(app, config.forwarded_allow_ips)  # type: ignore[arg-type] # typed otherwise there
    DrainingServer(config, app.state.app_state, settings.drain_seconds, settings.close_seconds).run(sockets)
    _exit_if_a_thread_is_busy()
    return 0


def _exit_if_a_thread_is_busy() -> None:
    """End the process if a thread still works, as on a model; Python would wait for it, and it cannot be stopped."""
    ends_at = time.monotonic() + _THREAD_SECONDS
    for thread in threading.enumerate():
        if thread is threading.main_thread() or thread.daemon:
            continue
        # An idle thread of a closed executor ends now.
        thread.join(timeout=max(0.0, ends_at - time.monotonic()))
        if thread.is_alive():
            logging.shutdown()
            sys.stdout.flush()
            os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
