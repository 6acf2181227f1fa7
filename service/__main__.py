"""`python -m service`: settings -> app -> uvicorn."""

import logging
import os
import sys
import threading

import uvicorn
from pydantic import ValidationError

from service.api.bounded_protocol import BoundedHead
from service.api.server import DrainingServer
from service.app import create_app
from service.model_control.loader import INFERENCE_THREAD_PREFIX, LOADING_THREAD_PREFIX
from service.settings import Settings
from service.telemetry.logs import set_up_logging
from service.video.sandbox.isolation import become_undumpable


def main() -> int:
    """Serve until told to stop; the exit status is 0 after a drain, 2 for unusable settings."""
    # Before anything secret is known: a decode child that was taken over has the same user.
    become_undumpable()
    try:
        settings = Settings()
    except ValidationError as error:
        for fault in error.errors():
            # A fault of one setting says which; one of several together names them itself.
            name = "_".join(["SERVICE", *(str(part) for part in fault["loc"])]).upper()
            sys.stderr.write(f"{name}: {fault['msg']}\n" if fault["loc"] else f"{fault['msg']}\n")
        return 2
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
        http=BoundedHead,
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    DrainingServer(config, app.state.app_state, settings.drain_seconds).run()
    _leave_models_at_work()
    return 0


def _leave_models_at_work() -> None:
    """End the process now if a model is loaded or asked: Python would wait for its thread, which nothing interrupts."""
    for thread in threading.enumerate():
        if thread.name.startswith((LOADING_THREAD_PREFIX, INFERENCE_THREAD_PREFIX)):
            # One that rests is told already to end.
            thread.join(timeout=1)
            if thread.is_alive():
                logging.shutdown()
                sys.stdout.flush()
                os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
