"""A pool of decode workers: processes that decode one video each and may be killed at any time.

A worker that crashes, hangs or is abandoned within a video is killed and replaced. Other callers are unaffected.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from framewise.schemas.isolation import Isolation
from service.video.clip import Clip, ClipSpec, DecodeReport, VideoFacts
from service.video.errors import DecoderKilled
from service.video.quality import Appearance, median_appearance
from service.video.sandbox.process import WorkerProcess
from service.video.sandbox.protocol import ClipMessage, DecodeRequest, FactsMessage, ReportMessage
from service.video.sandbox.settings import SandboxSettings

_log = logging.getLogger(__name__)


class SandboxedVideo:
    """A video that a worker is decoding: its facts are known at once, its clips follow."""

    def __init__(self, worker: WorkerProcess, spec: ClipSpec, facts: FactsMessage) -> None:
        self._worker = worker
        self._spec = spec
        self.facts: VideoFacts = facts.facts
        self.num_clips: int = facts.num_clips
        self._report: DecodeReport | None = None
        self._appearances: list[Appearance] = []

    @property
    def report(self) -> DecodeReport:
        """The decode report; raises RuntimeError before the last clip was received."""
        if self._report is None:
            raise RuntimeError("the report comes after the last clip")
        return self._report

    @property
    def appearance(self) -> Appearance:
        """Median luminance and sharpness over the clips received so far, at least one."""
        return median_appearance(self._appearances)

    async def clips(self) -> AsyncIterator[Clip]:
        """Yield the clips in order; `report` and `appearance` are complete after the last one.

        A slow caller makes the worker wait: little more than one clip is buffered.

        Raises:
            VideoError: as `service.video.decode.OpenVideo.clips`, and if the video crashes the worker.
            DecoderFailed: the worker exited by itself. No video causes that.
        """
        spec = self._spec
        num_bytes = spec.num_frames * spec.height * spec.width * 3
        while True:
            message = await self._worker.receive()
            if isinstance(message, ReportMessage) and self._appearances:
                self._report = message.report
                return
            if not isinstance(message, ClipMessage):
                raise self._worker.protocol_error()
            pixels = await self._worker.receive_bytes(num_bytes)
            frames = np.frombuffer(pixels, dtype=np.uint8).reshape(spec.num_frames, spec.height, spec.width, 3)
            try:
                times = message.times(spec)
            except ValueError as error:
                raise self._worker.protocol_error() from error
            self._appearances.append(message.appearance)
            yield Clip(frames, times)


class Sandbox:
    """A worker pool with a fixed number of decode slots and one spare worker, all started in advance.

    The spare takes over at once from a worker that was killed, while its replacement starts. An idle worker that ends
    is replaced immediately, not when the next video arrives.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.decode_children)
        # None stands for a worker that could not be started: the caller that takes it tries again.
        self._queue: asyncio.Queue[WorkerProcess | None] = asyncio.Queue()
        # Each idle worker, with the task that waits for its end.
        self._idle: dict[WorkerProcess, asyncio.Task[None]] = {}
        self._busy: set[WorkerProcess] = set()
        self._replacements: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self.num_workers_replaced = 0
        """Workers replaced because they crashed, hung, were killed or abandoned; scheduled replacements not counted."""
        self.isolation: Isolation | None = None
        """Isolation of the workers on this machine; None until the first worker has started."""

    @property
    def idle_process_ids(self) -> list[int]:
        """Process ids of the workers that wait for a video."""
        return [worker.process_id for worker in self._idle]

    @property
    def busy_process_ids(self) -> list[int]:
        """Process ids of the workers that decode a video."""
        return [worker.process_id for worker in self._busy]

    @property
    def resident_bytes(self) -> int:
        """Resident memory of all workers; shared pages are counted once for each."""
        return sum(_resident_bytes(number) for number in (*self.idle_process_ids, *self.busy_process_ids))

    async def start(self) -> None:
        """Start all workers concurrently; raises OSError if one cannot be started."""
        await asyncio.gather(*(self._start_worker() for _ in range(self._settings.decode_children + 1)))

    async def _start_worker(self) -> None:
        worker = await self._new_worker()
        self.isolation = worker.isolation
        self._add_idle(worker)

    async def _new_worker(self) -> WorkerProcess:
        settings = self._settings
        return await WorkerProcess.start(settings.worker_limits, stall_seconds=settings.decode_stall_seconds)

    async def close(self) -> None:
        """Kill all workers; none may be in use."""
        self._is_closing = True
        await asyncio.gather(*self._replacements)
        idle, self._idle = self._idle, {}
        for worker, watch in idle.items():
            watch.cancel()
            await worker.kill()

    @asynccontextmanager
    async def open(self, path: Path, spec: ClipSpec, length_factor: float = 1) -> AsyncIterator[SandboxedVideo]:
        """Wait for a free slot, then decode the video in `path`.

        The limits of seconds, packets and processor time are multiplied by `length_factor`. Leaving the context before
        the last clip, also by an error or a cancellation, kills the worker. If the worker is killed from outside or
        stalls before its first response, another worker tries once more.

        Raises:
            VideoError: as `service.video.decode.open_video`, and if the video crashes the worker.
            DecoderFailed: the worker exited by itself. No video causes that.
        """
        async with self._slots:
            try:
                worker, facts = await self._begin(path, spec, length_factor)
            except DecoderKilled:
                worker, facts = await self._begin(path, spec, length_factor)
            try:
                yield SandboxedVideo(worker, spec, facts)
            finally:
                self._release(worker)

    async def _begin(self, path: Path, spec: ClipSpec, length_factor: float) -> tuple[WorkerProcess, FactsMessage]:
        """Send the request to a worker; returns the worker and its first response."""
        worker = await self._acquire()
        try:
            return worker, await _facts(worker, self._request(path, spec, length_factor))
        except BaseException:
            self._release(worker)
            raise

    async def _acquire(self) -> WorkerProcess:
        """Take an idle worker that is alive and mark it as busy."""
        while True:
            worker = await self._queue.get()
            if worker is None:
                worker = await self._start_missing()
            elif worker in self._idle and worker.is_alive:
                self._idle.pop(worker).cancel()
            else:
                # Its replacement arrives through the same queue.
                self._replace_ended(worker)
                continue
            self._busy.add(worker)
            return worker

    async def _start_missing(self) -> WorkerProcess:
        try:
            return await self._new_worker()
        except BaseException:
            self._queue.put_nowait(None)
            raise

    def _add_idle(self, worker: WorkerProcess) -> None:
        self._idle[worker] = asyncio.create_task(self._watch(worker))
        self._queue.put_nowait(worker)

    async def _watch(self, worker: WorkerProcess) -> None:
        await worker.wait()
        self._replace_ended(worker)

    def _replace_ended(self, worker: WorkerProcess) -> None:
        """Replace a worker that ended while it was idle; a second call for the same worker does nothing."""
        watch = self._idle.pop(worker, None)
        if watch is None:
            return
        if watch is not asyncio.current_task():
            # It would wait indefinitely if the worker left unread output.
            watch.cancel()
        _log.warning("a decode worker ended while it was idle", extra=worker.log_fields)
        self.num_workers_replaced += 1
        self._schedule_replacement(worker)

    def _request(self, path: Path, spec: ClipSpec, length_factor: float) -> DecodeRequest:
        return DecodeRequest(
            # The worker has another working directory.
            path=str(path.absolute()),
            spec=spec,
            limits=self._settings.decode_limits.times(length_factor),
            # A single video uses all threads; concurrent videos share them, because more would only contend.
            num_threads=max(1, self._settings.decode_threads // len(self._busy)),
            cpu_factor=length_factor,
        )

    def _release(self, worker: WorkerProcess) -> None:
        self._busy.remove(worker)
        is_healthy = worker.is_idle and worker.is_alive
        if is_healthy and worker.num_requests < self._settings.decode_videos_per_child:
            self._add_idle(worker)
            return
        self.num_workers_replaced += not is_healthy
        self._schedule_replacement(worker)

    def _schedule_replacement(self, worker: WorkerProcess) -> None:
        worker.send_kill()
        task = asyncio.create_task(self._replace(worker))
        self._replacements.add(task)
        task.add_done_callback(self._replacements.discard)

    async def _replace(self, worker: WorkerProcess) -> None:
        try:
            await worker.kill()
            if not self._is_closing:
                self._add_idle(await self._new_worker())
        except OSError:
            _log.exception("a decode worker could not be started")
            self._queue.put_nowait(None)


async def _facts(worker: WorkerProcess, request: DecodeRequest) -> FactsMessage:
    worker.send(request)
    message = await worker.receive()
    if not isinstance(message, FactsMessage):
        raise worker.protocol_error()
    return message


def _resident_bytes(process_id: int) -> int:
    try:
        num_pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        # The process has just ended, or the system has no /proc.
        return 0
    return num_pages * os.sysconf("SC_PAGE_SIZE")
