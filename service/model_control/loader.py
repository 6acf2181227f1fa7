"""Brings one model up: verify, load, prove its batch sizes, replay its golden clips.

A model that answers otherwise than when it was exported is not served.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import numpy as np
from numpy.typing import NDArray

from service.inference.batcher import Batcher
from service.inference.engine import EngineRuntime, proved_batch_sizes
from service.inference.errors import InvalidModel
from service.inference.repository import ReadyModel, StoredModel, read_model
from service.prediction.classifier import decode_video, questions_to
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.video.clip import Clip, ClipSpec
from service.video.errors import DecoderFailed, VideoError
from service.video.sandbox.pool import Sandbox

_log = logging.getLogger(__name__)

LOADING_THREAD = "load"
ANSWERING_THREAD = "model"
"""How the thread's name begins in which models are loaded. Deep in an engine, nothing can interrupt it."""

ImportEngine = Callable[[], EngineRuntime]
Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


@contextmanager
def timed(name: str, **fields: object) -> Iterator[None]:
    """Log one line when a stage of the start has come to its end: its name, and how many seconds it took."""
    started_at = time.perf_counter()
    yield
    _log.info(name, extra={"stage": name, "seconds": round(time.perf_counter() - started_at, 3), **fields})


class ModelLoader:
    """Loads models in a thread of its own, one at a time; those that are ready answer meanwhile, in others."""

    def __init__(self, settings: Settings, sandbox: Sandbox, metrics: Metrics, import_engine: ImportEngine) -> None:
        """`import_engine` is called in the loading thread, once."""
        self._settings = settings
        self._sandbox = sandbox
        self._metrics = metrics
        self._import_engine = import_engine
        self._engine: EngineRuntime | None = None
        self._loading = ThreadPoolExecutor(max_workers=1, thread_name_prefix=LOADING_THREAD)
        self._answering: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Import the engine, which takes seconds."""
        with timed("engine imported", engine=self._settings.engine):
            self._engine = await self._in_thread(self._import_engine)
        # Of all models together: they share the same cores.
        self._answering = ThreadPoolExecutor(self._engine.concurrent_calls, thread_name_prefix=ANSWERING_THREAD)

    def close(self) -> None:
        """Take no more work; what a thread is at goes on, and is not waited for."""
        for executor in (self._loading, self._answering):
            if executor is not None:
                executor.shutdown(wait=False, cancel_futures=True)

    async def read(self, directory: Path) -> StoredModel:
        """The verified model in `directory`; raises InvalidModel."""
        with timed("model verified", model=_name(directory)):
            return await self._in_thread(read_model, directory)

    async def load(self, stored: StoredModel) -> ReadyModel:
        """The model, answering as it did at its export.

        Raises:
            InvalidModel: it does not.
            DecoderFailed: its golden clips cannot be decoded, through a fault of the service.
        """
        assert self._engine is not None
        assert self._answering is not None
        manifest, name = stored.manifest, _name(stored.directory)
        clip = manifest.clip
        clip_shape = (clip.num_frames, clip.height, clip.width, 3)
        with timed("model loaded", model=name):
            engine = await self._in_thread(self._engine.load, stored.directory, manifest)
        with timed("model warmed", model=name):
            try:
                batch_sizes = await self._in_thread(
                    proved_batch_sizes, engine.run, clip_shape, self._settings.batch_sizes
                )
            except Exception as error:
                raise InvalidModel(f"{stored.directory}: it fails on the clips that prove it: {error}") from error
        batcher = Batcher(
            engine.run,
            clip_shape=clip_shape,
            allowed_batch_sizes=batch_sizes,
            concurrent_calls=self._engine.concurrent_calls,
            max_queue_length=self._settings.max_queued_clips,
            executor=self._answering,
            observe=partial(self._metrics.observe_batch, manifest.name, manifest.version),
        )
        batcher.start()
        try:
            with timed("golden clips replayed", model=name):
                sees_training_pixels = await replay_golden(
                    stored, self._sandbox, batcher, self._metrics, engine.largest_difference
                )
        except BaseException:
            await batcher.close()
            raise
        return ReadyModel(
            stored=stored,
            batcher=batcher,
            batch_sizes=tuple(batch_sizes),
            engine=engine.name,
            device=engine.device,
            ready_at_unix_seconds=time.time(),
            sees_training_pixels=sees_training_pixels,
        )

    async def _in_thread(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._loading, work, *arguments)


async def replay_golden(
    stored: StoredModel, sandbox: Sandbox, batcher: Batcher, metrics: Metrics, largest_difference: float
) -> bool:
    """Send every golden clip the way a request goes, and compare the answers with those of its export.

    Returns whether every one decodes, bit for bit, to the pixels it had at export. Other pixels whose answers
    are still right are worth a warning, not an outage: a new release of the decoder may round otherwise.

    Raises:
        InvalidModel: an answer differs by more than the manifest's tolerance, or one to the same pixels by more
            than `largest_difference`.
        DecoderFailed: no worker can decode the clip, through a fault of the service.
    """
    manifest = stored.manifest
    sees_training_pixels = True
    for golden in manifest.golden:
        where = f"{stored.directory}: golden clip {golden.path}"
        try:
            frames_sha256, *found = await _first_clip(
                stored.directory / golden.path, manifest.clip, sandbox, batcher, metrics
            )
        except VideoError as error:
            raise InvalidModel(f"{where}: {error}") from error
        except DecoderFailed as error:
            # Neither the model nor its clip is wrong.
            raise DecoderFailed(f"{where} was not decoded. {error}") from error
        expected = (golden.probabilities, golden.attention, golden.times_seconds)
        pairs = [(np.asarray(one), np.asarray(other)) for one, other in zip(expected, found, strict=True)]
        if any(one.shape != other.shape for one, other in pairs):
            raise InvalidModel(f"{where}: the answer has another shape than at export")
        difference = max(float(np.abs(one - other).max()) for one, other in pairs)
        sees_same_pixels = frames_sha256 == golden.frames_sha256
        tolerance = manifest.golden_tolerance
        if not difference <= (min(tolerance, largest_difference) if sees_same_pixels else tolerance):
            raise InvalidModel(f"{where}: the answer differs by {difference:.2g} from the one at export")
        if not sees_same_pixels:
            _log.warning("a golden clip decodes to other pixels than at export", extra={"path": golden.path})
            sees_training_pixels = False
    return sees_training_pixels


async def _first_clip(
    path: Path, spec: ClipSpec, sandbox: Sandbox, batcher: Batcher, metrics: Metrics
) -> tuple[str, NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Digest of the pixels, probabilities, attention and times of a video's first clip."""
    digests: list[str] = []
    async with questions_to(batcher, 1) as questions:

        async def take(clip: Clip) -> None:
            digests.append(hashlib.sha256(clip.frames.tobytes()).hexdigest())
            await questions.ask(clip.frames, clip.times.valid)

        video = await decode_video(path, spec, sandbox, take, metrics)
    answer = questions.answers()[0]
    return digests[0], answer.probabilities, answer.attention, video.clips[0].times_seconds


def _name(directory: Path) -> str:
    return f"{directory.parent.name}/{directory.name}"
