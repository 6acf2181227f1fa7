"""Ray Serve as in its documentation: one decoding replica per core, and a model deployment with batching."""

import os
import time
from pathlib import Path

from ray import serve
from starlette.datastructures import UploadFile
from starlette.requests import Request

from benchmarks.peers.video_model import Clips, VideoModel, VideoReader

_DIRECTORY = Path(os.environ["MODEL_DIR"])
_NUM_CORES = os.cpu_count() or 1


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.1})
class Model:
    """The model, with batching of videos."""

    def __init__(self) -> None:
        self.model = VideoModel(_DIRECTORY, num_threads=_NUM_CORES)

    @serve.batch(max_batch_size=4, batch_wait_timeout_s=0.005)
    async def predict(self, videos: list[Clips]) -> list[list[float]]:
        """The probabilities of each video of a batch."""
        return self.model.run_videos(videos)

    async def is_ready(self) -> bool:
        """Return when the model is loaded."""
        return True

    async def __call__(self, clips: Clips) -> list[float]:
        """The probabilities of one video."""
        probabilities: list[float] = await self.predict(clips)
        return probabilities


@serve.deployment(num_replicas=_NUM_CORES, max_ongoing_requests=128, ray_actor_options={"num_cpus": 0.1})
class Videos:
    """Decodes the uploaded video and calls the model."""

    def __init__(self, model: serve.handle.DeploymentHandle) -> None:
        self.reader = VideoReader(_DIRECTORY)
        self.model = model

    async def __call__(self, request: Request) -> dict[str, list[float]]:
        """The probabilities of an uploaded video; a GET request returns none when the model is loaded."""
        if request.method == "GET":
            await self.model.is_ready.remote()
            return {"probabilities": []}
        form = await request.form()
        video = form["video"]
        assert isinstance(video, UploadFile)
        clips = self.reader.decode(await video.read())
        return {"probabilities": await self.model.remote(clips)}


if __name__ == "__main__":
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Videos.bind(Model.bind()), route_prefix="/predict")  # type: ignore[attr-defined] # the decorator's
    while True:
        time.sleep(3600)
