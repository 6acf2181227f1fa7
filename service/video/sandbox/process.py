"""The service's handle of one decode worker: start it, send a request, receive messages, kill it.

Messages are validated and never trusted: a malicious video may control the worker.
"""

import asyncio
import contextlib
import logging
import signal
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from framewise.schemas.isolation import Isolation
from service.programs import start_program
from service.video.errors import (
    DecodeDeadlineExceeded,
    DecoderFailed,
    DecoderKilled,
    UnreadableVideo,
    VideoError,
    VideoTooLarge,
)
from service.video.sandbox.error_output import ErrorOutput
from service.video.sandbox.kill import kill_and_wait
from service.video.sandbox.processor_time import ProcessorTime
from service.video.sandbox.protocol import (
    MAX_LINE_BYTES,
    OUT_OF_MEMORY_EXIT_STATUS,
    WORKER_MESSAGE,
    ClipMessage,
    DecodeRequest,
    ErrorMessage,
    FactsMessage,
    ReadyMessage,
    ReportMessage,
    WorkerLimits,
)

_log = logging.getLogger(__name__)

_PROGRAM = ("-m", "service.video.sandbox.worker")

_EXTERNAL_SIGNALS = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT)
"""Exit statuses of signals that come from another process or the out-of-memory killer, never from the decoder."""

DEFAULT_STALL_SECONDS = 20.0
_CHECKS_PER_STALL = 4

_MAX_SECONDS_TO_EXIT = 1.0
"""Time for a worker that has closed its output to exit by itself."""


class WorkerProcess:
    """A worker process that decodes one video at a time."""

    def __init__(self, process: asyncio.subprocess.Process, stall_seconds: float) -> None:
        assert process.stderr is not None
        self._process = process
        self._stall_seconds = stall_seconds
        self._is_stalled = False
        self._is_paused = False
        self._error_output = ErrorOutput(process.stderr)
        self._processor_time = ProcessorTime(process.pid)
        self.is_idle = True
        """Whether the last request is complete: its report or its error was received."""
        self.num_requests = 0
        """Requests sent so far."""
        self.isolation: Isolation | None = None

    @classmethod
    async def start(
        cls, limits: WorkerLimits, program: tuple[str, ...] = _PROGRAM, *, stall_seconds: float = DEFAULT_STALL_SECONDS
    ) -> "WorkerProcess":
        """Start a worker and wait until it is ready; raises ChildProcessError if that fails.

        A worker that neither responds nor computes for `stall_seconds` is killed.
        """
        # Removed once the worker runs in it: nothing can be written there, and a killed service leaves no directory.
        with tempfile.TemporaryDirectory(prefix="decode-") as directory:
            try:
                process = await start_program(
                    *program,
                    limits.model_dump_json(),
                    cwd=directory,
                    max_line_bytes=MAX_LINE_BYTES,
                    # The C library overwrites memory on allocation and release: a decoder that leaves parts of a
                    # picture unwritten cannot show another caller's pixels.
                    variables={"MALLOC_PERTURB_": "165"},
                )
            except OSError as error:
                # The system has no process, memory or descriptor left.
                raise ChildProcessError(f"a decode worker cannot be started: {error}") from error
            worker = cls(process, stall_seconds)
            try:
                message = await worker.receive()
            except (VideoError, DecoderFailed) as error:
                await worker.kill()
                raise ChildProcessError(f"a decode worker ended before it was ready: {worker.exit_summary}") from error
            except BaseException:
                await worker.kill()
                raise
        if isinstance(message, ReadyMessage):
            worker.isolation = message.isolation
        return worker

    @property
    def process_id(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the event loop has not yet seen the worker end."""
        return self._process.returncode is None

    @property
    def log_fields(self) -> dict[str, object]:
        """Fields for a log record: process id, exit status (negative for a signal) and the end of stderr."""
        return {
            "process_id": self.process_id,
            "exit_status": self._process.returncode,
            "stderr": self._error_output.text,
        }

    @property
    def exit_summary(self) -> str:
        """Exit status and last line of stderr, such as `exit status 1: TypeError: ...`."""
        end, line = _end_of(self._process.returncode), self._error_output.last_line
        return f"{end}: {line}" if line else end

    def send(self, request: DecodeRequest) -> None:
        """Send a request; the worker is not idle until its last response is received."""
        assert self._process.stdin is not None
        self.is_idle = False
        self.num_requests += 1
        self._process.stdin.write(request.model_dump_json().encode() + b"\n")

    async def receive(self) -> ReadyMessage | FactsMessage | ClipMessage | ReportMessage:
        """The next message of the worker.

        Raises:
            VideoError: the worker reported this error, was ended by a signal, or sent an invalid message.
            DecoderFailed: the worker exited by itself. No video causes that.
        """
        assert self._process.stdout is not None
        try:
            line = await self._unless_stalled(self._process.stdout.readline())
            if not line.endswith(b"\n"):
                raise await self._exit_error()
            message = WORKER_MESSAGE.validate_json(line)
            video_error = message.to_error() if isinstance(message, ErrorMessage) else None
        except (ValueError, KeyError) as error:
            raise self.protocol_error() from error
        except ConnectionError:
            raise await self._exit_error() from None
        self.is_idle = isinstance(message, ReportMessage | ErrorMessage)
        if video_error is not None:
            raise video_error
        assert not isinstance(message, ErrorMessage)
        return message

    async def receive_bytes(self, num_bytes: int) -> bytes:
        """The pixels that follow the line of a clip; raises as `receive`."""
        assert self._process.stdout is not None
        try:
            return await self._unless_stalled(self._process.stdout.readexactly(num_bytes))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise await self._exit_error() from None

    def protocol_error(self) -> UnreadableVideo:
        """Log that the worker broke the protocol and return the error; the worker must not be used again."""
        self.is_idle = False
        _log.error("a decode worker broke the protocol")
        return UnreadableVideo("The video could not be decoded.")

    async def _unless_stalled(self, reading: Coroutine[Any, Any, bytes]) -> bytes:
        """The result of `reading`; a worker that stalls is killed, which ends its output.

        Time alone does not tell: some videos take a minute between two clips. Within it the worker uses processor time,
        unless it is stopped, deadlocked or waits for a disk. A check that is late, because the machine was suspended,
        counts once.
        """
        task = asyncio.ensure_future(reading)
        ticks, num_unchanged = None, 0
        try:
            while not (await asyncio.wait({task}, timeout=self._stall_seconds / _CHECKS_PER_STALL))[0]:
                previous, ticks = ticks, _processor_ticks(self.process_id)
                num_unchanged = num_unchanged + 1 if ticks is not None and ticks == previous else 0
                if self._is_paused:
                    num_unchanged = 0
                if num_unchanged == _CHECKS_PER_STALL - 1:
                    _log.warning("a decode worker stalled", extra={"process_id": self.process_id})
                    self._is_stalled = True
                    self.send_kill()
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _exit_error(self) -> VideoError | DecoderFailed:
        """Wait until the worker has ended, and return the error that its exit status stands for."""
        # A worker may close its output and run on. It gets time to exit by itself before it is killed: `kill` polls
        # the process, and could take the exit status from asyncio's child watcher.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MAX_SECONDS_TO_EXIT):
                await self._process.wait()
        await self.kill()
        status = await self._process.wait()
        self.is_idle = False
        if status >= 0 and status != OUT_OF_MEMORY_EXIT_STATUS:
            _log.error("a decode worker failed", extra=self.log_fields)
            return DecoderFailed(
                f"The decode worker failed: it ended with {_end_of(status)}. "
                "This is a fault of the service, not of the video."
            )
        _log.warning("a decode worker died", extra=self.log_fields)
        if status == OUT_OF_MEMORY_EXIT_STATUS:
            return VideoTooLarge("Decoding the video needs more memory than allowed.")
        if status == -signal.SIGXCPU:
            return DecodeDeadlineExceeded("Decoding the video takes more processor time than allowed.")
        if status in _EXTERNAL_SIGNALS:
            return DecoderKilled(self._killed_message)
        return UnreadableVideo("The video crashed the decoder.")

    @property
    def _killed_message(self) -> str:
        if self._is_stalled:
            return (
                f"The decode worker made no progress for {self._stall_seconds:g} s (SERVICE_DECODE_STALL_SECONDS) and "
                "was stopped. The video may be fine: try again."
            )
        return (
            "The decode worker was killed before the video was decoded, by another process or because the machine ran "
            "out of memory. The video may be fine: try again. If that fails too, the machine has too little memory for "
            "the video."
        )

    async def wait(self) -> None:
        """Wait until the worker has ended."""
        await self._process.wait()

    def processor_seconds(self) -> float:
        """Processor seconds that the worker has used since its start."""
        return self._processor_time.seconds()

    def pause(self) -> None:
        """Stop the worker until `resume`; it can still be killed, and does not count as stalled."""
        self._is_paused = True
        self._send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the worker continue after `pause`."""
        self._is_paused = False
        self._send_signal(signal.SIGCONT)

    def send_kill(self) -> None:
        """Send SIGKILL without waiting; `kill` waits for the end."""
        self._send_signal(signal.SIGKILL)

    def _send_signal(self, number: signal.Signals) -> None:
        if not self.is_alive:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def kill(self) -> None:
        """Kill the worker and wait until it has ended; no caller may be in `receive`."""
        await kill_and_wait(self._process)
        await self._error_output.close()


def _end_of(status: int | None) -> str:
    if status is None or status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        # A real-time signal has no name of its own.
        return f"signal {-status}"


def _processor_ticks(process_id: int) -> int | None:
    """Processor time of a process in clock ticks; None without /proc."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
        # The name of the program, in parentheses, may contain spaces.
        fields = stat.rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, IndexError):
        return None
