"""A SavedModel small enough to check by hand: it measures how bright each frame is.

`bright` is as likely as the mean grey of the valid frames; a frame's attention is its share of their light.
"""

import hashlib
from pathlib import Path

from service.inference.manifest import GoldenClip, Manifest, file_digests
from service.video.clip import ClipSpec, DecodeLimits
from service.video.decode import open_video
from service.video.quality import Percentiles, PictureEnvelope
from tests.support.videos import painted

SPEC = ClipSpec(num_frames=8, height=32, width=32, frames_per_second=4, stride_seconds=1)
LABELS = ("dark", "bright")
ENVELOPE = PictureEnvelope(
    num_clips=100,
    luminance=Percentiles(p1=4, p5=10, p95=240, p99=250),
    sharpness=Percentiles(p1=0, p5=0, p95=0, p99=0),
)
"""The envelope of training pictures: all brightness but the darkest and the lightest."""


def write_grey_model(
    models_dir: Path,
    name: str = "grey",
    version: str = "1",
    threshold: float = 0.6,
    white_takes_seconds: float = 0,
    *,
    label_thresholds: tuple[float, float] | None = None,
) -> Path:
    """Export the model with its golden clip to `models_dir/<name>/<version>`; returns that directory.

    A clip that is all white keeps the model busy for `white_takes_seconds`. With `label_thresholds` each label
    stands for itself: `dark` is as likely as of half the light, `bright` as ever; a video's best clip speaks for it.
    """
    light_against_dark = 1.0 if label_thresholds is None else 0.5
    import tensorflow as tf  # noqa: PLC0415 - most tests that import this module never export a model

    class Grey(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None, SPEC.num_frames, SPEC.height, SPEC.width, 3], tf.uint8, name="frames"),
                tf.TensorSpec([None, SPEC.num_frames], tf.bool, name="valid"),
            ]
        )
        def answer(self, frames, valid):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            if white_takes_seconds:
                started_at = tf.timestamp()
                is_white = tf.reduce_min(frames) > 250
                tf.while_loop(
                    lambda now: tf.logical_and(is_white, now < started_at + white_takes_seconds),
                    lambda _: tf.timestamp(),
                    [started_at],
                )
            weight = tf.cast(valid, tf.float32)
            light = tf.reduce_mean(tf.cast(frames, tf.float32), axis=[2, 3, 4]) / 255.0 * weight
            total = tf.reduce_sum(light, axis=1, keepdims=True)
            bright = total / tf.reduce_sum(weight, axis=1, keepdims=True)
            uniform = weight / tf.reduce_sum(weight, axis=1, keepdims=True)
            return {
                "probabilities": tf.concat([1.0 - light_against_dark * bright, bright], axis=1),
                "attention": tf.where(total > 0, light / tf.maximum(total, 1e-9), uniform),
            }

    directory = models_dir / name / version
    module = Grey()
    tf.saved_model.save(module, str(directory), signatures={"serving_default": module.answer})
    (directory / "golden").mkdir()
    golden_path = painted(directory / "golden" / "ramp.mp4", range(0, 160, 10))
    with open_video(golden_path, DecodeLimits()) as video:
        clip = next(video.clips(SPEC, video.plan(SPEC)))
    answer = module.answer(clip.frames[None], clip.times.valid[None])
    manifest = Manifest(
        name=name,
        version=version,
        description="Says how bright a video is.",
        created_at="2026-01-01T00:00:00Z",
        labels=LABELS,
        clip=SPEC,
        abstention_threshold=threshold,
        combine="mean" if label_thresholds is None else "max",
        head=None if label_thresholds is None else "multi_label",
        label_thresholds=label_thresholds,
        picture_envelope=ENVELOPE,
        golden=(
            GoldenClip(
                path="golden/ramp.mp4",
                frames_sha256=hashlib.sha256(clip.frames.tobytes()).hexdigest(),
                probabilities=tuple(answer["probabilities"].numpy()[0].tolist()),
                attention=tuple(answer["attention"].numpy()[0].tolist()),
                times_seconds=tuple(clip.times.times_seconds.tolist()),
            ),
        ),
        metrics={},
        training={},
        files=file_digests(directory),
    )
    (directory / "manifest.json").write_text(manifest.to_json())
    return directory
