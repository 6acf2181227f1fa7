"""A pool of decode workers: processes that decode one video each and may be killed at any time.

A worker that crashes, hangs or is abandoned within a video is killed and replaced. Other callers are unaffected.
Videos of a caller that used much pause for those of other callers (`service.fair_share`).
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import numpy as np

from framewise.schemas.isolation import Isolation
from service.fair_share.settings import FairShareSettings
from service.fair_share.share import FairShare, Work
from service.fair_share.slots import FairSlots
from service.video.clip import Clip, ClipSpec, DecodeReport, VideoFacts
from service.video.errors import DecoderKilled
from service.video.quality import Appearance, median_appearance
from service.video.sandbox.process import WorkerProcess
from service.video.sandbox.protocol import ClipMessage, DecodeRequest, FactsMessage, ReportMessage
from service.video.sandbox.settings import SandboxSettings

_log = logging.getLogger(__name__)

_ADJUSTMENT_DELAY_SECONDS = 1.0
"""Time for which there may be no spare worker, or too many workers. Short videos in extra slots are over by then, and
would be delayed by the start of a worker."""


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
    is replaced immediately, not when the next video arrives. Further workers start when extra slots are given to
    callers for which others pause, and end when they are no longer needed.
    """

    def __init__(self, settings: SandboxSettings, fair_share: FairShare | None = None) -> None:
        """Without `fair_share`, the videos of this pool share with no other work."""
        self._settings = settings
        self._fair_share = fair_share or FairShare(FairShareSettings(), num_threads=settings.decode_threads)
        self._slots = FairSlots(self._fair_share, settings.decode_children)
        # None stands for a worker that could not be started: the caller that takes it tries again.
        self._queue: asyncio.Queue[WorkerProcess | None] = asyncio.Queue()
        # Each idle worker, with the task that waits for its end.
        self._idle: dict[WorkerProcess, asyncio.Task[None]] = {}
        self._busy: dict[WorkerProcess, Work] = {}
        # Number of None in the queue.
        self._num_missing = 0
        # Workers that `start` is starting.
        self._num_starting = 0
        self._adjustment: asyncio.TimerHandle | None = None
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
        self._num_starting = self._settings.decode_children + 1
        await asyncio.gather(*(self._start_worker() for _ in range(self._num_starting)))

    async def _start_worker(self) -> None:
        try:
            worker = await self._new_worker()
        finally:
            self._num_starting -= 1
        self.isolation = worker.isolation
        self._add_idle(worker)

    async def _new_worker(self) -> WorkerProcess:
        settings = self._settings
        return await WorkerProcess.start(settings.worker_limits, stall_seconds=settings.decode_stall_seconds)

    async def close(self) -> None:
        """Kill all workers; none may be in use."""
        self._is_closing = True
        if self._adjustment is not None:
            self._adjustment.cancel()
        await asyncio.gather(*self._replacements)
        idle, self._idle = self._idle, {}
        for worker, watch in idle.items():
            watch.cancel()
            await worker.kill()

    @asynccontextmanager
    async def open(
        self, path: Path, spec: ClipSpec, length_factor: float = 1, request: Work | None = None
    ) -> AsyncIterator[SandboxedVideo]:
        """Wait for a free slot, then decode the video in `path`, which belongs to `request` if that is given.

        The limits of seconds, packets and processor time are multiplied by `length_factor`. Leaving the context before
        the last clip, also by an error or a cancellation, kills the worker. If the worker is killed from outside or
        stalls before its first response, another worker tries once more.

        Raises:
            VideoError: as `service.video.decode.open_video`, and if the video crashes the worker.
            DecoderFailed: the worker exited by itself. No video causes that.
        """
        with self._fair_share.work("") if request is None else nullcontext(request) as work:
            async with self._slots.hold(work.caller):
                self._start_further_workers()
                try:
                    worker, facts = await self._begin(path, spec, length_factor, work)
                except DecoderKilled:
                    worker, facts = await self._begin(path, spec, length_factor, work)
                try:
                    yield SandboxedVideo(worker, spec, facts)
                finally:
                    self._release(worker)

    async def _begin(
        self, path: Path, spec: ClipSpec, length_factor: float, work: Work
    ) -> tuple[WorkerProcess, FactsMessage]:
        """Send the request to a worker; returns the worker and its first response."""
        worker = await self._acquire()
        self._busy[worker] = work
        try:
            work.attach(worker)
            return worker, await _facts(worker, self._request(path, spec, length_factor))
        except BaseException:
            self._release(worker)
            raise

    async def _acquire(self) -> WorkerProcess:
        """Take an idle worker that is alive."""
        while True:
            worker = await self._queue.get()
            if worker is None:
                return await self._start_missing()
            if worker in self._idle and worker.is_alive:
                self._idle.pop(worker).cancel()
                return worker
            # Its replacement arrives through the same queue.
            self._replace_ended(worker)

    async def _start_missing(self) -> WorkerProcess:
        self._num_missing -= 1
        try:
            return await self._new_worker()
        except BaseException:
            self._add_missing()
            raise

    def _add_missing(self) -> None:
        self._num_missing += 1
        self._queue.put_nowait(None)

    def _start_further_workers(self) -> None:
        """Start workers in the background until each slot that is taken has one."""
        for _ in range(self._slots.num_held - self._num_workers):
            self._start_in_background(self._start_replacement())
        if self._num_workers != self._num_workers_needed:
            self._adjust_soon()

    def _adjust_soon(self) -> None:
        """Start the spare worker, or end those that are not needed, if that is still necessary in a moment."""
        if self._adjustment is None:
            self._adjustment = asyncio.get_running_loop().call_later(_ADJUSTMENT_DELAY_SECONDS, self._adjust)

    def _adjust(self) -> None:
        self._adjustment = None
        num_missing = self._num_workers_needed - self._num_workers
        for _ in range(num_missing):
            self._start_in_background(self._start_replacement())
        for worker in list(self._idle)[: max(0, -num_missing)]:
            self._idle.pop(worker).cancel()
            self._schedule_replacement(worker)

    @property
    def _num_workers(self) -> int:
        num_to_come = self._num_starting + len(self._replacements) + self._num_missing
        return len(self._idle) + len(self._busy) + num_to_come

    @property
    def _num_workers_needed(self) -> int:
        return max(self._settings.decode_children, self._slots.num_held) + 1

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
            num_threads=max(
                1, self._settings.decode_threads // max(1, sum(not work.is_paused for work in self._busy.values()))
            ),
            cpu_factor=length_factor,
        )

    def _release(self, worker: WorkerProcess) -> None:
        self._busy.pop(worker).detach()
        is_healthy = worker.is_idle and worker.is_alive
        if self._num_workers >= self._settings.decode_children + 1:
            # The slot of this worker is free in a moment.
            self._adjust_soon()
        if is_healthy and worker.num_requests < self._settings.decode_videos_per_child:
            self._add_idle(worker)
            return
        self.num_workers_replaced += not is_healthy
        self._schedule_replacement(worker)

    def _schedule_replacement(self, worker: WorkerProcess) -> None:
        worker.send_kill()
        self._start_in_background(self._replace(worker))

    def _start_in_background(self, start: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(start)
        self._replacements.add(task)
        task.add_done_callback(self._replacements.discard)

    async def _replace(self, worker: WorkerProcess) -> None:
        """Kill a worker, and start another one if it is needed."""
        await worker.kill()
        # This task counts as one of the workers.
        if self._num_workers <= self._num_workers_needed:
            await self._start_replacement()

    async def _start_replacement(self) -> None:
        if self._is_closing:
            return
        try:
            self._add_idle(await self._new_worker())
        except OSError:
            _log.exception("a decode worker could not be started")
            self._add_missing()


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
