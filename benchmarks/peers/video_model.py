"""Shared by the servers of all peers: full decoding with PyAV, and prediction with the SavedModel.

Windows, frames and sizes equal the ones of the service. Decoding follows the documentation of PyAV, with default
settings of the scaler. Runs in the environment of each peer.
"""

import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.video.clip import ClipSpec
from service.video.sampling import plan_clips

Clips = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""frames uint8 [N, T, H, W, 3] and valid bool [N, T]."""


def read_spec(directory: Path) -> ClipSpec:
    """Read the clip specification of the model in `directory`."""
    return ClipSpec.model_validate(json.loads((directory / "manifest.json").read_text())["clip"])


class VideoReader:
    """Decodes videos into the clips of the model in `directory`."""

    def __init__(self, directory: Path, num_threads: int = 1) -> None:
        self.spec = read_spec(directory)
        self._num_threads = num_threads

    def decode(self, content: bytes) -> Clips:
        """Decode all clips of a video: one pass over its packets for the times, one over its frames."""
        import av  # noqa: PLC0415 - the usual service has OpenCV instead

        with av.open(io.BytesIO(content), "r") as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = self._num_threads
            stream.thread_type = "AUTO"
            packets = [packet for packet in container.demux(stream) if packet.pts is not None]
            ticks = np.sort(np.array([packet.pts for packet in packets], dtype=np.int64))
            tick_seconds = float(stream.time_base or 0)
            seconds = (ticks - ticks[0]) * tick_seconds
            last_seconds = (packets[-1].duration or 0) * tick_seconds
            plan = plan_clips(seconds, float(seconds[-1]) + last_seconds, self.spec)
            wanted = {int(index) for times in plan for index in times.frame_indices[times.valid]}
            container.seek(0)
            pictures = {
                index: frame.to_ndarray(format="rgb24", width=self.spec.width, height=self.spec.height).astype(
                    np.uint8, copy=False
                )
                for index, frame in enumerate(container.decode(stream))
                if index in wanted
            }
        return assemble([(times.frame_indices, times.valid) for times in plan], pictures, self.spec)


def assemble(
    plan: list[tuple[NDArray[np.int64], NDArray[np.bool_]]], pictures: dict[int, NDArray[np.uint8]], spec: ClipSpec
) -> Clips:
    """Assemble the planned clips; a frame that did not decode is replaced by the last decoded one."""
    frames = np.zeros((len(plan), spec.num_frames, spec.height, spec.width, 3), dtype=np.uint8)
    valid = np.zeros((len(plan), spec.num_frames), dtype=np.bool_)
    last_decoded = max(pictures)
    for number, (indices, is_valid) in enumerate(plan):
        for position in np.flatnonzero(is_valid):
            frames[number, position] = pictures.get(int(indices[position]), pictures[last_decoded])
        valid[number] = is_valid
    return frames, valid


class VideoModel:
    """The SavedModel in `directory`, called through its signature."""

    def __init__(self, directory: Path, num_threads: int) -> None:
        import tensorflow as tf  # noqa: PLC0415 - not needed by processes that only decode

        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self._constant = tf.constant
        self._module = tf.saved_model.load(str(directory))
        self._signature = self._module.signatures["serving_default"]
        self._directory = directory
        spec = read_spec(directory)
        for size in (1, 2, 4, 8):
            frames = np.zeros((size, spec.num_frames, spec.height, spec.width, 3), dtype=np.uint8)
            self.run(frames, np.ones((size, spec.num_frames), dtype=np.bool_))

    def run(self, frames: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Probabilities float32 [B, K] of a batch of clips."""
        outputs = self._signature(frames=self._constant(frames), valid=self._constant(valid))
        probabilities: NDArray[np.float32] = outputs["probabilities"].numpy()
        return probabilities

    def run_videos(self, videos: list[Clips]) -> list[list[float]]:
        """Predict the probabilities of each video, with batches of up to 8 clips over all videos."""
        frames = np.concatenate([frames for frames, _ in videos])
        valid = np.concatenate([valid for _, valid in videos])
        parts = [self.run(frames[start : start + 8], valid[start : start + 8]) for start in range(0, len(frames), 8)]
        ends = np.cumsum([len(valid) for _, valid in videos])[:-1]
        return [combine(clips, self._directory) for clips in np.split(np.concatenate(parts), ends)]


def combine(clips: NDArray[np.float32], directory: Path) -> list[float]:
    """Combine the probabilities of clips, float32 [N, K], to those of the video, by the manifest in `directory`."""
    rule = json.loads((directory / "manifest.json").read_text())["combine"]
    whole = clips.mean(axis=0) if rule == "mean" else clips.max(axis=0)
    probabilities: list[float] = (whole / whole.sum()).tolist()
    return probabilities
