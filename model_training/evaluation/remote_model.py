"""A model that answers elsewhere: the same questions, put to a running service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from framewise.client import Client, ProblemError, ServiceUnreachable
from framewise.schemas.prediction import Prediction
from model_training.datasets.segments import Segment
from model_training.errors import TrainingError
from model_training.evaluation.exported_model import VideoPrediction
from service.inference.manifest import Manifest
from service.video.errors import VideoError

_OF_THE_VIDEO = frozenset(
    {httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNSUPPORTED_MEDIA_TYPE, httpx.codes.UNPROCESSABLE_ENTITY}
)


@contextmanager
def remote_model(url: str) -> Iterator["RemoteModel"]:
    """Ask the service at `url` as long as the context lasts."""
    with Client(url) as client:
        yield RemoteModel(client)


class RemoteModel:
    """The model of a manifest as a service answers it; a `Predictor`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def predict(self, path: Path, manifest: Manifest, segment_seconds: Segment | None = None) -> VideoPrediction:
        """What the service answers for the video in `path`.

        Raises:
            VideoError: the service refuses the video, or only a segment of it is meant.
            TrainingError: nobody answers, the service is busy or does not know the model, or it holds other bytes
                under the model's name and version.
        """
        if segment_seconds is not None:
            raise VideoError("a service answers whole videos, but only a segment of this one is meant")
        try:
            answer = self._client.predict(path, model=manifest.name, version=manifest.version, frames="all")
        except ProblemError as error:
            if error.status in _OF_THE_VIDEO:
                raise VideoError(str(error)) from error
            raise TrainingError(str(error)) from error
        except ServiceUnreachable as error:
            raise TrainingError(str(error)) from error
        if answer.model.digest != manifest.digest:
            raise TrainingError(
                f"the service's {manifest.name}/{manifest.version} is another one: its digest is {answer.model.digest},"
                f" this one's {manifest.digest}"
            )
        return _as_prediction(answer, manifest)


def _as_prediction(answer: Prediction, manifest: Manifest) -> VideoPrediction:
    """The answer in the shape of an exported model's; the frames that it leaves out are those of no attention."""
    shape = (len(answer.clips), manifest.clip.num_frames)
    attention, times = np.zeros(shape, np.float32), np.zeros(shape)
    valid = np.zeros(shape, np.bool_)
    places = [0] * len(answer.clips)
    for frame in answer.frames:
        place = places[frame.clip]
        attention[frame.clip, place], times[frame.clip, place] = frame.attention, frame.time_seconds
        valid[frame.clip, place] = True
        places[frame.clip] += 1
    by_label = {row.label: row.probability for row in answer.probabilities}
    return VideoPrediction(
        probabilities=np.array([by_label[label] for label in manifest.labels]),
        clip_probabilities=None,
        attention=attention,
        times_seconds=times,
        valid=valid,
        decode_seconds=answer.timings_ms.decode / 1000,
        model_seconds_per_clip=answer.timings_ms.model / 1000,
    )
