"""Predicts videos through a running service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from framewise.client import Client, ProblemError, ServiceUnreachable
from framewise.client.errors import InvalidArgument
from framewise.schemas.prediction import Prediction
from model_training.datasets.segments import Segment
from model_training.errors import TrainingError
from model_training.evaluation.exported_model import VideoPrediction
from service.inference.manifest import Manifest
from service.video.errors import VideoError

_VIDEO_ERRORS = frozenset(
    {httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNSUPPORTED_MEDIA_TYPE, httpx.codes.UNPROCESSABLE_ENTITY}
)


@contextmanager
def remote_model(url: str) -> Iterator["RemoteModel"]:
    """A model of the service at `url`; raises TrainingError if `url` is not the address of a service."""
    try:
        client = Client(url)
    except InvalidArgument as error:
        raise TrainingError(str(error)) from error
    with client:
        yield RemoteModel(client)


class RemoteModel:
    """A `Predictor` that requests predictions from a service."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def predict(self, path: Path, manifest: Manifest, segment_seconds: Segment | None = None) -> VideoPrediction:
        """Predict the video in `path` through the service.

        Raises:
            VideoError: the service rejects the video, or a segment is given.
            TrainingError: the service is unreachable or busy, or does not have the model with these bytes.
        """
        if segment_seconds is not None:
            raise VideoError("the service predicts whole videos only, and this example is a segment")
        try:
            prediction = self._client.predict(path, model=manifest.name, version=manifest.version, frames="all")
        except ProblemError as error:
            if error.status in _VIDEO_ERRORS:
                raise VideoError(str(error)) from error
            raise TrainingError(str(error)) from error
        except ServiceUnreachable as error:
            raise TrainingError(str(error)) from error
        if prediction.model.digest != manifest.digest:
            raise TrainingError(
                f"the service has another {manifest.name}/{manifest.version}: its digest is {prediction.model.digest},"
                f" and the local one is {manifest.digest}"
            )
        return _as_prediction(prediction, manifest)


def _as_prediction(prediction: Prediction, manifest: Manifest) -> VideoPrediction:
    """Convert the response to the arrays of an exported model; frames that it omits have no attention."""
    shape = (len(prediction.clips), manifest.clip.num_frames)
    attention, times = np.zeros(shape, np.float32), np.zeros(shape)
    valid = np.zeros(shape, np.bool_)
    counts = [0] * len(prediction.clips)
    for frame in prediction.frames:
        index = counts[frame.clip]
        attention[frame.clip, index], times[frame.clip, index] = frame.attention, frame.time_seconds
        valid[frame.clip, index] = True
        counts[frame.clip] += 1
    by_label = {row.label: row.probability for row in prediction.probabilities}
    return VideoPrediction(
        probabilities=np.array([by_label[label] for label in manifest.labels]),
        clip_probabilities=None,
        attention=attention,
        times_seconds=times,
        valid=valid,
        decode_seconds=prediction.timings_ms.decode / 1000,
        model_seconds_per_clip=prediction.timings_ms.model / 1000,
    )
