"""The decoders of the decode benchmark. Each decodes the wanted frames of a video and measures its processor time."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.environments import PEERS, PeerUnavailable, peer_python
from service.video.clip import ClipSpec, DecodeLimits
from service.video.decode import open_video
from service.video.picture import PictureFitter

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DecodeRun:
    """Seconds and pictures uint8 [H, W, 3] of one run; a decoder in another process returns no pictures."""

    seconds: float
    num_pictures: int
    pictures: list[Picture]


def decode_ours(path: Path, spec: ClipSpec, wanted: NDArray[np.int64]) -> DecodeRun:
    """Read the timestamps, plan the clips and decode them; a picture of two clips counts once."""
    started_at = time.process_time()
    with open_video(path, DecodeLimits(), num_threads=1) as video:
        clips = list(video.clips(spec, video.plan(spec)))
    seconds = time.process_time() - started_at
    found = np.unique(np.concatenate([clip.times.frame_indices[clip.times.valid] for clip in clips]))
    pictures = [picture for clip in clips for picture in clip.frames[clip.times.valid]]
    return DecodeRun(seconds, int(np.isin(wanted, found).sum()), pictures)


def decode_with_pyav(path: Path, spec: ClipSpec, wanted: NDArray[np.int64]) -> DecodeRun:
    """Decode all frames up to the last wanted one with PyAV; fit the wanted frames with our fitter."""
    started_at = time.process_time()
    pictures = []
    wanted_indices = set(wanted.tolist())
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        fitter = PictureFitter(spec, stream.sample_aspect_ratio)
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted_indices:
                pictures.append(fitter.fit(frame))
                if len(pictures) == len(wanted):
                    break
    return DecodeRun(time.process_time() - started_at, len(pictures), pictures)


def decode_with_opencv(path: Path, spec: ClipSpec, wanted: NDArray[np.int64]) -> DecodeRun:
    """Call `grab` for each frame and `retrieve` only for wanted frames, which is faster than `read`."""
    cv2.setNumThreads(1)
    started_at = time.process_time()
    pictures: list[Picture] = []
    wanted_indices = set(wanted.tolist())
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    index = 0
    while len(pictures) < len(wanted) and capture.grab():
        if index in wanted_indices:
            decoded, picture = capture.retrieve()
            if not decoded:
                break
            fitted = cv2.resize(picture, (spec.width, spec.height), interpolation=cv2.INTER_AREA)
            pictures.append(cv2.cvtColor(fitted, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False))
        index += 1
    capture.release()
    return DecodeRun(time.process_time() - started_at, len(pictures), pictures)


class DecordWorker:
    """decord in a process with its own environment, on the core of this process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [peer_python("decord"), PEERS / "decord" / "worker.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"]},
            text=True,
        )
        if self._response() != {"ready": True}:
            self.close()
            raise PeerUnavailable("cannot be started")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def decode(self, path: Path, spec: ClipSpec, wanted: NDArray[np.int64]) -> DecodeRun:
        """Decode the wanted frames; the time is measured in the other process."""
        request = {"path": str(path), "height": spec.height, "width": spec.width, "wanted": wanted.tolist()}
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        response = self._response()
        return DecodeRun(float(response["seconds"]), int(response["num_pictures"]), [])

    def _response(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return {"seconds": 0.0, "num_pictures": 0}
        response: dict[str, float] = json.loads(line)
        return response
