"""A custom runtime of MLServer: adaptive batching of videos, one worker process per core.

Requests follow the V2 protocol, with the bytes of the video as a base64 tensor.
"""

import os
from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.video_model import VideoModel, VideoReader


class VideoRuntime(MLModel):
    """Classifies videos."""

    async def load(self) -> bool:
        """Load the model, once in each worker."""
        directory = Path(os.environ["MODEL_DIR"])
        self.reader = VideoReader(directory)
        self.model = VideoModel(directory, num_threads=1)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The probabilities of a batch of videos, float [B, K]."""
        videos = [self.reader.decode(content) for content in Base64Codec.decode_input(payload.inputs[0])]
        probabilities = np.array(self.model.run_videos(videos))
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("probabilities", probabilities)]
        )
