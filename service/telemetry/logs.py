"""Logs as JSON lines on standard error."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from service.standard_streams import LineWriter
from service.telemetry.settings import DEFAULT_LOG_BUFFER_BYTES

_log = logging.getLogger(__name__)

_STANDARD_ERROR = 2

# Attributes of every log record. Any other attribute was passed as `extra`.
_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, message and every `extra` field."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record as one line of JSON."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _RECORD_FIELDS}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class LineHandler(logging.Handler):
    """Hands each record to a thread that writes it, and reports how many were dropped because that thread waited."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer
        self._num_reported = 0

    @property
    def num_dropped(self) -> int:
        """Number of records that were not written."""
        return self._writer.num_dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record soon, or drop it. Does not block."""
        is_accepted = self._writer.write(self.format(record))
        num_dropped = self._writer.num_dropped
        if is_accepted and num_dropped > self._num_reported:
            report = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": "log lines dropped"}
            fields = {"num_dropped": num_dropped - self._num_reported}
            if self._writer.write(self.format(logging.makeLogRecord({**report, **fields}))):
                self._num_reported = num_dropped

    def flush(self) -> None:
        """Wait until all records are written, for a limited time."""
        self._writer.flush()


def set_up_logging(level: str, buffer_bytes: int = DEFAULT_LOG_BUFFER_BYTES) -> None:
    """Write all logs of this process to standard error as JSON lines.

    At most `buffer_bytes` of lines wait for the reader of standard error; the others are dropped.
    """
    handler = LineHandler(LineWriter(_STANDARD_ERROR, buffer_bytes))
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # `service.api.access_log` replaces it.
    logging.getLogger("uvicorn.access").disabled = True


def flush_logs() -> None:
    """Wait until the logs are written, for a limited time: before a process ends without closing them."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def num_dropped_lines() -> int:
    """Number of log lines of this process that were dropped."""
    return sum(handler.num_dropped for handler in logging.getLogger().handlers if isinstance(handler, LineHandler))


@contextmanager
def timed(name: str, **fields: object) -> Iterator[None]:
    """Log the name and the seconds of the `with` block when it ends without an error."""
    started_at = time.perf_counter()
    yield
    _log.info(name, extra={"stage": name, "seconds": round(time.perf_counter() - started_at, 3), **fields})
