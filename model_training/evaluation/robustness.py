"""Robustness: metrics on videos that were re-encoded, scaled, darkened or reduced in frame rate.

Videos are changed frame by frame with PyAV, and each changed file is overwritten after its prediction.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np

from model_training.datasets.examples import Example
from model_training.errors import TrainingDataError
from model_training.evaluation.changed_video import Change, write_changed
from model_training.evaluation.exported_model import Predictor, VideoPrediction
from model_training.evaluation.faithfulness import spread_examples
from model_training.evaluation.measure import predicted_labels, stack_predictions
from model_training.evaluation.metrics import Probabilities, Sets, accuracy, round_metric
from model_training.evaluation.results import ChangeMetrics, Robustness
from service.inference.manifest import Manifest
from service.video.errors import VideoError

MAX_VIDEOS = 24


def _is_not_dropped(number: int) -> bool:
    return number == 0 or bool(np.random.default_rng(number).uniform() >= 0.3)  # noqa: PLR2004 - as the name says


CHANGES = {
    "H.264 at a low bitrate (crf 38)": Change(options=(("preset", "veryfast"), ("crf", "38"))),
    "MPEG-4, coarsely quantised (q 16)": Change(codec="mpeg4", options=(("qmin", "16"), ("qmax", "16"))),
    "VP9 at 200 kbit/s": Change(
        codec="libvpx-vp9",
        suffix=".webm",
        options=(("deadline", "realtime"), ("cpu-used", "8"), ("b", "200k")),
    ),
    "half the width and height": Change(scale=0.5),
    "darkened to 40 %": Change(brightness=0.4),
    "30 % of the frames dropped": Change(is_kept=_is_not_dropped),
    "half the frame rate": Change(is_kept=lambda number: number % 2 == 0),
}


def measure_robustness(
    model: Predictor, manifest: Manifest, examples: Sequence[Example], on_video: Callable[[], None] = lambda: None
) -> Robustness:
    """Accuracy under each change, and agreement with the original prediction, over at most `MAX_VIDEOS` videos.

    Raises:
        TrainingDataError: a video cannot be decoded or re-encoded.
    """
    chosen = spread_examples(examples, MAX_VIDEOS)
    clean: list[VideoPrediction] = []
    changed: dict[str, list[VideoPrediction]] = {name: [] for name in CHANGES}
    with tempfile.TemporaryDirectory(prefix="robustness-") as directory:
        for example in chosen:
            segment = example.segment_seconds
            # A changed file starts at the start of the segment.
            changed_segment = None if segment is None else (0.0, segment[1] - segment[0])
            try:
                clean.append(model.predict(example.path, manifest, segment))
                for name, change in CHANGES.items():
                    path = Path(directory) / f"video{change.suffix}"
                    write_changed(example.path, path, change, segment)
                    changed[name].append(model.predict(path, manifest, changed_segment))
            except (VideoError, av.error.FFmpegError) as error:
                raise TrainingDataError(f"{example.listed}: {error}") from error
            on_video()
    probabilities, targets = stack_predictions(clean, chosen, manifest.labels)
    return Robustness(
        num_videos=len(chosen),
        clean_accuracy=round_metric(accuracy(predicted_labels(probabilities, manifest), targets)),
        changes={
            name: _compared(
                probabilities, stack_predictions(predictions, chosen, manifest.labels)[0], targets, manifest
            )
            for name, predictions in changed.items()
        },
    )


def _compared(clean: Probabilities, changed: Probabilities, targets: Sets, manifest: Manifest) -> ChangeMetrics:
    top_labels = np.arange(len(clean)), clean.argmax(axis=1)
    predicted = predicted_labels(changed, manifest)
    return ChangeMetrics(
        accuracy=round_metric(accuracy(predicted, targets)),
        agreement=round_metric(accuracy(predicted, predicted_labels(clean, manifest))),
        mean_probability_shift=round_metric(np.abs(changed[top_labels] - clean[top_labels]).mean()),
    )
