"""LitServe as in its documentation: decoding in `decode_request`, its own batching, one worker per core.

Each worker decodes and predicts with one thread of TensorFlow.
"""

import os
from pathlib import Path
from typing import Any

import litserve
from fastapi import Request

from benchmarks.peers.video_model import Clips, VideoModel, VideoReader


class VideoApi(litserve.LitAPI):
    """Classifies videos."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load the model, once in each worker."""
        directory = Path(os.environ["MODEL_DIR"])
        self.reader = VideoReader(directory)
        self.model = VideoModel(directory, num_threads=1)

    def decode_request(self, request: Request) -> Clips:
        """The clips of the uploaded video."""
        form: Any = request
        return self.reader.decode(form["video"].file.read())

    def batch(self, inputs: list[Clips]) -> list[Clips]:
        """Return the list unchanged: videos of different lengths cannot be stacked."""
        return inputs

    def predict(self, x: list[Clips]) -> list[list[float]]:
        """The probabilities of each video of a batch."""
        return self.model.run_videos(x)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        """Return the list unchanged."""
        return output

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        """The JSON response."""
        return {"probabilities": output}


if __name__ == "__main__":
    api = VideoApi(max_batch_size=4, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=os.cpu_count() or 1, timeout=120)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
