"""Replays a model's golden clips before it serves requests."""

import hashlib
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.inference.batcher import Batcher
from service.inference.errors import InvalidModel
from service.inference.stored_model import StoredModel
from service.prediction.pipeline import Pipeline, clip_requests
from service.video.clip import Clip, ClipSpec
from service.video.errors import DecoderFailed, VideoError

_log = logging.getLogger(__name__)

_CALLER = "golden clips"
"""The caller that golden clips count for."""


async def replay_golden(stored: StoredModel, pipeline: Pipeline, batcher: Batcher, max_difference: float) -> bool:
    """Decode and classify every golden clip as a request would, and compare the outputs with those at export.

    Returns whether every clip decodes to exactly the pixels it had at export. Other pixels with correct outputs are
    logged as a warning only: a new release of the decoder may round differently.

    Raises:
        InvalidModel: an output differs by more than the manifest's tolerance, or, for the same pixels, by more than
            `max_difference`.
        DecoderFailed: no worker can decode a clip; the service is at fault, not the model.
    """
    manifest = stored.manifest
    sees_training_pixels = True
    for golden in manifest.golden:
        where = f"{stored.directory}: golden clip {golden.path}"
        try:
            frames_sha256, *found = await _first_clip(stored.directory / golden.path, manifest.clip, pipeline, batcher)
        except VideoError as error:
            raise InvalidModel(f"{where}: {error}") from error
        except DecoderFailed as error:
            # The service is at fault, so the model is not called invalid.
            raise DecoderFailed(f"{where} was not decoded. {error}") from error
        expected = (golden.probabilities, golden.attention, golden.times_seconds)
        pairs = [(np.asarray(ours), np.asarray(theirs)) for ours, theirs in zip(found, expected, strict=True)]
        if any(ours.shape != theirs.shape for ours, theirs in pairs):
            raise InvalidModel(f"{where}: the output has another shape than at export")
        difference = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
        sees_same_pixels = frames_sha256 == golden.frames_sha256
        tolerance = manifest.golden_tolerance
        allowed = min(tolerance, max_difference) if sees_same_pixels else tolerance
        # Also rejects NaN.
        if not difference <= allowed:
            raise InvalidModel(
                f"{where}: the output differs by {difference:.2g} from that at export; allowed is {allowed:.2g}"
            )
        if not sees_same_pixels:
            _log.warning("a golden clip decodes to other pixels than at export", extra={"path": golden.path})
            sees_training_pixels = False
    return sees_training_pixels


async def _first_clip(
    path: Path, spec: ClipSpec, pipeline: Pipeline, batcher: Batcher
) -> tuple[str, NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """SHA-256 of the pixels, probabilities, attention and frame times of a video's first clip."""
    digests: list[str] = []
    with pipeline.work(_CALLER) as work:
        async with clip_requests(batcher, 1, work) as requests:

            async def submit(clip: Clip) -> None:
                digests.append(hashlib.sha256(clip.frames.tobytes()).hexdigest())
                await requests.submit(clip.frames, clip.times.valid)

            video = await pipeline.decode(path, spec, submit, work=work)
    output = requests.outputs()[0]
    return digests[0], output.probabilities, output.attention, video.clips[0].times_seconds
