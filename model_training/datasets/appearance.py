"""The picture envelope of the training clips; serving warns when a video lies outside it."""

from collections.abc import Iterable

from model_training.datasets.clip_cache import CachedClip
from service.video.appearance import clip_appearance
from service.video.quality import PictureEnvelope


def picture_envelope(clips: Iterable[CachedClip]) -> PictureEnvelope:
    """The envelope of luminance and sharpness over cached clips, without augmentation.

    Holds one clip in memory.
    """
    return PictureEnvelope.of(clip_appearance(clip.frames(), clip.valid) for clip in clips)
