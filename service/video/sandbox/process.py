"""One decode child as its parent sees it: started, given a job, listened to, killed.

Believes nothing the child says beyond its form: a hostile video may have taken it over.
"""

import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
from pathlib import Path

import service
from framewise.schemas.isolation import Isolation
from service.video.errors import DecodeDeadlineExceeded, DecoderFailed, UnreadableVideo, VideoError, VideoTooLarge
from service.video.sandbox.error_output import ErrorOutput
from service.video.sandbox.kill import kill_and_wait
from service.video.sandbox.protocol import (
    ANSWER,
    MAX_LINE_BYTES,
    OUT_OF_MEMORY_EXIT_STATUS,
    ChildLimits,
    ClipMessage,
    ErrorMessage,
    FactsMessage,
    Job,
    ReadyMessage,
    ReportMessage,
)

_log = logging.getLogger(__name__)

_PROGRAM = ("-m", "service.video.sandbox.worker")

_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT)
"""Signals that no decoder sends itself: somebody else did, or a system that is short of memory."""

_MAX_SECONDS_TO_END = 1.0
"""How long a child that has closed its output is given to leave its exit status."""


class DecoderKilled(UnreadableVideo):
    """The child was killed from outside, which need not be the video's fault."""


class ChildProcess:
    """A child process that decodes one video at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        self._process = process
        self._error_output = ErrorOutput(process.stderr)
        self.is_idle = True
        """Whether the last job came to its end, well or with an error in due form."""
        self.num_jobs = 0
        """How many jobs it was given."""
        self.isolation: Isolation | None = None

    @classmethod
    async def start(cls, limits: ChildLimits, program: tuple[str, ...] = _PROGRAM) -> "ChildProcess":
        """A child that is ready for its first job; raises OSError where there can be none."""
        # Removed as soon as the child is in it: then nobody can write there, and whatever kills us leaves nothing.
        with tempfile.TemporaryDirectory(prefix="decode-") as directory:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, *program, limits.model_dump_json()),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    limit=MAX_LINE_BYTES,
                    cwd=directory,
                    # Nothing of our own environment: it may hold secrets.
                    env={
                        "PYTHONPATH": str(Path(service.__file__).parents[1]),
                        "PYTHONDONTWRITEBYTECODE": "1",
                        "OPENBLAS_NUM_THREADS": "1",
                        # The C library overwrites memory when it is freed and when it is handed out: a decoder that
                        # does not fill its picture never shows a part of another caller's.
                        "MALLOC_PERTURB_": "165",
                    },
                )
            except OSError as error:
                # No process, memory or descriptor is left for it.
                raise ChildProcessError(f"a decode child cannot be started: {error}") from error
            child = cls(process)
            try:
                message = await child.receive()
            except (VideoError, DecoderFailed) as error:
                await child.kill()
                raise ChildProcessError(f"a decode worker ended before it was ready: {child.last_words}") from error
            except BaseException:
                await child.kill()
                raise
        if isinstance(message, ReadyMessage):
            child.isolation = message.isolation
        return child

    @property
    def process_id(self) -> int:
        """Its number in the system."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it was not yet seen to have ended."""
        return self._process.returncode is None

    @property
    def log_fields(self) -> dict[str, object]:
        """What the log says of it: process id, exit status (of a signal, its negative number), end of stderr."""
        return {
            "process_id": self.process_id,
            "exit_status": self._process.returncode,
            "stderr": self._error_output.text,
        }

    @property
    def last_words(self) -> str:
        """How it ended and the last line of its stderr, such as `exit status 1: TypeError: ...`."""
        end, line = _end_of(self._process.returncode), self._error_output.last_line
        return f"{end}: {line}" if line else end

    def send(self, job: Job) -> None:
        """Give it a job; it is not idle until the last answer was received."""
        assert self._process.stdin is not None
        self.is_idle = False
        self.num_jobs += 1
        self._process.stdin.write(job.model_dump_json().encode() + b"\n")

    async def receive(self) -> ReadyMessage | FactsMessage | ClipMessage | ReportMessage:
        """Its next answer.

        Raises:
            VideoError: the error that it answers with, or that stands for its death or babble.
            DecoderFailed: it exited, which no video makes it do.
        """
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            if not line.endswith(b"\n"):
                raise await self._died()
            message = ANSWER.validate_json(line)
            refusal = message.to_error() if isinstance(message, ErrorMessage) else None
        except (ValueError, KeyError) as error:
            raise self.broken() from error
        except ConnectionError:
            raise await self._died() from None
        self.is_idle = isinstance(message, ReportMessage | ErrorMessage)
        if refusal is not None:
            raise refusal
        assert not isinstance(message, ErrorMessage)
        return message

    async def receive_bytes(self, num_bytes: int) -> bytes:
        """The pixels that follow a clip's line; raises as `receive`."""
        assert self._process.stdout is not None
        try:
            return await self._process.stdout.readexactly(num_bytes)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise await self._died() from None

    def broken(self) -> UnreadableVideo:
        """The error for a child that does not keep to the protocol, and is not to be used again."""
        self.is_idle = False
        _log.error("a decode child broke the protocol")
        return UnreadableVideo("The video could not be decoded.")

    async def _died(self) -> VideoError | DecoderFailed:
        # A signal would ask whether it has ended, and so take its exit status from the watcher that tells
        # us: it first has a moment to end by itself. It may have closed its output and yet live on.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MAX_SECONDS_TO_END):
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
        _log.warning("a decode child died", extra=self.log_fields)
        if status == OUT_OF_MEMORY_EXIT_STATUS:
            return VideoTooLarge("Decoding the video needs more memory than allowed.")
        if status == -signal.SIGXCPU:
            return DecodeDeadlineExceeded("Decoding the video takes more processor time than allowed.")
        if status in _FROM_OUTSIDE:
            return DecoderKilled("The decoder was killed.")
        return UnreadableVideo("The video crashed the decoder.")

    async def wait(self) -> None:
        """Wait until it has ended."""
        await self._process.wait()

    def kill_soon(self) -> None:
        """Send the signal that nothing survives; `kill` waits for its effect."""
        if not self.is_alive:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def kill(self) -> None:
        """End it, and wait until it has ended. Nobody may be waiting for an answer of it."""
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
