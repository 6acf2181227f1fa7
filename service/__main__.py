"""`python -m service`: starts the HTTP server."""

import logging
import os
import sys
import threading
import time
from functools import partial

import uvicorn

from service.api.bounded_protocol import BoundedProtocol
from service.api.path_prefix import ForwardedHeaders
from service.api.server import DrainingServer, listen
from service.app import create_app
from service.connections.descriptors import TooFewDescriptors, max_connections_within, raise_descriptor_limit
from service.environment import INVALID_SETTINGS_STATUS, InvalidSettings
from service.settings import Settings, read_settings
from service.standard_streams import open_standard_streams
from service.state import AppState
from service.telemetry.logs import set_up_logging
from service.video.sandbox.isolation import become_undumpable

_log = logging.getLogger(__name__)

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
    open_standard_streams()
    # Before any secret is read: decode workers run as the same user, and a malicious video may take one over.
    become_undumpable()
    try:
        settings = read_settings()
    except InvalidSettings as error:
        sys.stderr.write(f"{error}\n")
        return INVALID_SETTINGS_STATUS
    set_up_logging(settings.log_level, settings.log_buffer_bytes)
    try:
        max_connections = _max_connections_within_descriptors(settings)
        # Before anything is started, which would have to be closed again.
        sockets = listen(settings.host, settings.port, _BACKLOG)
    except OSError as error:
        sys.stderr.write(
            f"The service cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}. "
            "Set SERVICE_HOST and SERVICE_PORT to a free address.\n"
        )
        return CANNOT_LISTEN_EXIT_STATUS
    except TooFewDescriptors as error:
        sys.stderr.write(f"{error}\n")
        return INVALID_SETTINGS_STATUS
    app = create_app(settings, max_connections)
    state: AppState = app.state.app_state
    if state.connections.max_in_all < settings.max_connections:
        _log.warning("fewer connections than configured", extra={"max_connections": state.connections.max_in_all})
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        backlog=_BACKLOG,
        log_config=None,
        access_log=False,
        server_header=False,
        loop="uvloop",
        http=partial(BoundedProtocol, connections_of_all=state.connections),  # type: ignore[arg-type]
        ws="none",
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    config.app = ForwardedHeaders(app, config.forwarded_allow_ips)  # type: ignore[arg-type] # typed otherwise there
    server = DrainingServer(config, state, settings.drain_seconds, settings.close_seconds, settings.drain_delay_seconds)
    server.run(sockets)
    _exit_if_a_thread_is_busy()
    return 0


def _max_connections_within_descriptors(settings: Settings) -> int | None:
    descriptor_limit = raise_descriptor_limit()
    if descriptor_limit is None:
        return None
    max_uploads = settings.max_concurrent_uploads + settings.max_working_requests
    return max_connections_within(descriptor_limit, max_uploads=max_uploads, num_workers=settings.decode_children)


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
            os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
