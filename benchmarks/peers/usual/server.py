"""The usual service: FastAPI, UploadFile, a temporary file, a loop over OpenCV's frames, `model.predict`.

The endpoint is a plain `def`, which FastAPI runs in its thread pool. OpenCV and TensorFlow use their default threads.
All clips of a video are predicted in one call.
"""

import os
import shutil
import tempfile
from pathlib import Path

import cv2
import keras
import numpy as np
import tensorflow as tf
import uvicorn
from fastapi import FastAPI, UploadFile
from numpy.typing import NDArray

from benchmarks.peers.video_model import Clips, assemble, combine, read_spec
from service.video.sampling import plan_clips

MODEL_DIR = Path(os.environ["MODEL_DIR"])


class Served(keras.Model):
    """The SavedModel as a Keras model, which provides `predict`."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._loaded = tf.saved_model.load(str(directory))
        self._signature = self._loaded.signatures["serving_default"]

    def call(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Predict a batch of clips."""
        outputs: dict[str, tf.Tensor] = self._signature(**inputs)
        return outputs


app = FastAPI()
model = Served(MODEL_DIR)
spec = read_spec(MODEL_DIR)


def probabilities_of(clips: Clips) -> list[float]:
    """The probabilities of one video."""
    frames, valid = clips
    outputs: dict[str, NDArray[np.float32]] = model.predict({"frames": frames, "valid": valid}, verbose=0)
    return combine(outputs["probabilities"], MODEL_DIR)


# The first call builds the graph, so it runs before the first request.
probabilities_of(
    (
        np.zeros((1, spec.num_frames, spec.height, spec.width, 3), dtype=np.uint8),
        np.ones((1, spec.num_frames), dtype=np.bool_),
    )
)


@app.get("/health")
def health() -> dict[str, str]:
    """Report that the model is loaded."""
    return {"state": "ready"}


@app.post("/predict")
def predict(video: UploadFile) -> dict[str, list[float]]:
    """Classify an uploaded video."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        shutil.copyfileobj(video.file, file)
        file.flush()
        clips = read_clips(file.name)
    return {"probabilities": probabilities_of(clips)}


def read_clips(path: str) -> Clips:
    """Read all frames, and keep and resize the wanted ones."""
    capture = cv2.VideoCapture(path)
    frame_rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    num_frames = max(1, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    plan = plan_clips(np.arange(num_frames) / frame_rate, num_frames / frame_rate, spec)
    wanted = {int(index) for times in plan for index in times.frame_indices[times.valid]}
    pictures: dict[int, NDArray[np.uint8]] = {}
    index = 0
    while True:
        decoded, picture = capture.read()
        if not decoded:
            break
        if index in wanted:
            resized = cv2.resize(picture, (spec.width, spec.height))
            pictures[index] = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        index += 1
    capture.release()
    return assemble([(times.frame_indices, times.valid) for times in plan], pictures, spec)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
