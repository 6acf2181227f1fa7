"""Golden clips: inputs stored with a model together with their expected outputs."""

import hashlib
from pathlib import Path

from model_training.evaluation.exported_model import ExportedModel
from model_training.synthetic.render import render_video
from model_training.synthetic.scenes import EVENT_LABELS
from service.inference.manifest import GoldenClip
from service.video.clip import ClipSpec, DecodeLimits
from service.video.decode import open_video

_NUM_GOLDEN = 3
_GOLDEN_FRAME_RATE = 15


def golden_clips(model: ExportedModel, spec: ClipSpec, directory: Path) -> list[GoldenClip]:
    """Render three videos of one clip each, the last shorter than its window, and record their outputs."""
    (directory / "golden").mkdir()
    golden = []
    for index in range(_NUM_GOLDEN):
        path = directory / "golden" / f"{index + 1}.mp4"
        fraction = 0.97 if index + 1 < _NUM_GOLDEN else 0.7
        render_video(
            path,
            EVENT_LABELS[index],
            seed=1000 + index,
            width=192,
            height=144,
            frame_rate=_GOLDEN_FRAME_RATE,
            duration_seconds=max(min(fraction * spec.window_seconds, 8.0), 1 / _GOLDEN_FRAME_RATE),
        )
        with open_video(path, DecodeLimits()) as video:
            clip = next(video.clips(spec, video.plan(spec)))
        probabilities, attention = model.predict_clips(clip.frames[None], clip.times.valid[None])
        golden.append(
            GoldenClip(
                path=path.relative_to(directory).as_posix(),
                frames_sha256=hashlib.sha256(clip.frames.tobytes()).hexdigest(),
                probabilities=tuple(probabilities[0].tolist()),
                attention=tuple(attention[0].tolist()),
                times_seconds=tuple(clip.times.times_seconds.tolist()),
            )
        )
    return golden
