"""Replays the golden clips of a model before it serves requests."""

import hashlib
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.inference.batcher import Batcher
from service.inference.errors import InvalidModel
from service.inference.stored_model import StoredModel
from service.prediction.pipeline import decode_video, questions_to
from service.telemetry.metrics import Metrics
from service.video.clip import Clip, ClipSpec
from service.video.errors import DecoderFailed, VideoError
from service.video.sandbox.pool import Sandbox

_log = logging.getLogger(__name__)


async def replay_golden(
    stored: StoredModel, sandbox: Sandbox, batcher: Batcher, metrics: Metrics, max_difference: float
) -> bool:
    """Send every golden clip the way a request goes, and compare the answers with those of its export.

    Returns whether every one decodes, bit for bit, to the pixels it had at export. Other pixels whose answers
    are still right are worth a warning, not an outage: a new release of the decoder may round otherwise.

    Raises:
        InvalidModel: an answer differs by more than the manifest's tolerance, or one to the same pixels by more
            than `max_difference`.
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
        if not difference <= (min(tolerance, max_difference) if sees_same_pixels else tolerance):
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
