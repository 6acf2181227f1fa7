"""`python -m service`: starts the HTTP server."""

import logging
import os
import sys
import threading

import uvicorn

from service.api.bounded_protocol import BoundedProtocol
from service.api.server import DrainingServer
from service.app import create_app
from service.environment import INVALID_SETTINGS_STATUS, InvalidSettings
from service.model_control.loader import INFERENCE_THREAD_PREFIX, LOADING_THREAD_PREFIX
from service.settings import read_settings
from service.telemetry.logs import set_up_logging
from service.video.sandbox.isolation import become_undumpable


def main() -> int:
    """Run the service; the exit status is 0 after a drain, 2 for invalid settings."""
    # Before any secret is read: decode workers run as the same user, and a malicious video may take one over.
    become_undumpable()
    try:
        settings = read_settings()
    except InvalidSettings as error:
        sys.stderr.write(f"{error}\n")
        return INVALID_SETTINGS_STATUS
    set_up_logging(settings.log_level)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    DrainingServer(config, app.state.app_state, settings.drain_seconds).run()
    _exit_if_model_is_busy()
    return 0


def _exit_if_model_is_busy() -> None:
    """End the process if a thread loads or runs a model; Python would wait for the thread, which cannot be stopped."""
    for thread in threading.enumerate():
        if thread.name.startswith((LOADING_THREAD_PREFIX, INFERENCE_THREAD_PREFIX)):
            # An idle thread ends now.
            thread.join(timeout=1)
            if thread.is_alive():
                logging.shutdown()
                sys.stdout.flush()
                os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
