"""The picture envelope of the training clips; serving warns when a video lies outside it."""

from collections.abc import Iterator, Sequence

from model_training.datasets.examples import Example
from model_training.datasets.segments import open_segment
from model_training.errors import TrainingDataError
from service.video.appearance import clip_appearance
from service.video.clip import ClipSpec
from service.video.errors import VideoError
from service.video.quality import Appearance, PictureEnvelope


def picture_envelope(examples: Sequence[Example], spec: ClipSpec) -> PictureEnvelope:
    """The envelope of brightness, contrast and the like over the examples' clips, without augmentation.

    Raises:
        TrainingDataError: a video cannot be decoded.
    """
    return PictureEnvelope.of(appearance for example in examples for appearance in _appearances(example, spec))


def _appearances(example: Example, spec: ClipSpec) -> Iterator[Appearance]:
    try:
        with open_segment(example.path, spec, example.segment_seconds) as (_, clips):
            for clip in clips:
                yield clip_appearance(clip.frames, clip.times.valid)
    except VideoError as error:
        raise TrainingDataError(f"{example.listed}: {error}") from error
