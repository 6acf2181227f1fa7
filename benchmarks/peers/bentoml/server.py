"""BentoML as in its documentation: one decoding worker per core, and a model service with adaptive batching."""

import os
from pathlib import Path
from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import ContentType
from numpy.typing import NDArray

from benchmarks.peers.video_model import VideoModel, VideoReader

_DIRECTORY = Path(os.environ["MODEL_DIR"])


@bentoml.service(workers=1, traffic={"timeout": 120, "max_concurrency": 256})
class Model:
    """The model, with adaptive batching of clips."""

    def __init__(self) -> None:
        self.model = VideoModel(_DIRECTORY, num_threads=os.cpu_count() or 1)

    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=8, max_latency_ms=60_000)
    def predict(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of a batch of clips; frames of zeros at the end of a clip are padding."""
        valid: NDArray[np.bool_] = np.asarray(frames.any(axis=(2, 3, 4)))
        valid[:, 0] = True
        return self.model.run(frames, valid)


@bentoml.service(workers=os.cpu_count() or 1, traffic={"timeout": 120, "max_concurrency": 256})
class Videos:
    """Decodes the uploaded video and calls the model."""

    model = bentoml.depends(Model)

    def __init__(self) -> None:
        self.reader = VideoReader(_DIRECTORY)

    @bentoml.api(route="/predict")
    def predict(self, video: Annotated[Path, ContentType("video/mp4")]) -> dict[str, list[float]]:
        """The probabilities of an uploaded video."""
        frames, _ = self.reader.decode(video.read_bytes())
        clips = self.model.predict(frames)
        whole = np.asarray(clips).mean(axis=0)
        return {"probabilities": (whole / whole.sum()).tolist()}
