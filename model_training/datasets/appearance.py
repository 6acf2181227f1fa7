"""What the clips of a training look like: the envelope that serving warns of leaving."""

from collections.abc import Iterator, Sequence

from model_training.datasets.examples import Example
from model_training.datasets.segments import open_segment
from model_training.errors import TrainingDataError
from service.video.appearance import clip_appearance
from service.video.clip import ClipSpec
from service.video.errors import VideoError
from service.video.quality import Appearance, PictureEnvelope


def picture_envelope(examples: Sequence[Example], spec: ClipSpec) -> PictureEnvelope:
    """The envelope of the examples' clips, by the pictures that the network sees, before any augmentation.

    Raises:
        TrainingDataError: a video cannot be used.
    """
    return PictureEnvelope.around(look for example in examples for look in _looks(example, spec))


def _looks(example: Example, spec: ClipSpec) -> Iterator[Appearance]:
    try:
        with open_segment(example.path, spec, example.segment_seconds) as (_, clips):
            for clip in clips:
                yield clip_appearance(clip.frames, clip.times.valid)
    except VideoError as error:
        raise TrainingDataError(f"{example.listed}: {error}") from error
