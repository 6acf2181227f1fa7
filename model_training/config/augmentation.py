"""Options of data augmentation."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from model_training.config.part import ConfigPart


class AugmentConfig(ConfigPart):
    """Random changes to a training clip, the same for all its frames. Zero or false disables a change."""

    former_names: ClassVar[Mapping[str, str]] = {"held_frame_rate": "repeated_frame_probability"}

    min_crop_area: float = Field(default=0.6, gt=0, le=1)
    """Random resized crop: the smallest fraction of the frame's area that is kept; 1 disables it."""
    max_aspect_change: float = Field(default=0.15, ge=0, lt=1)
    is_flipped: bool = True
    """Mirror left and right with probability 0.5."""
    brightness: float = Field(default=0.2, ge=0, lt=1)
    contrast: float = Field(default=0.2, ge=0, lt=1)
    saturation: float = Field(default=0.2, ge=0, le=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """Largest rotation of hues in either direction, as a fraction of the colour wheel."""
    max_dropped_frames: int = Field(default=2, ge=0)
    """Temporal jitter: up to this many frames are removed at either end, as if the video were shorter."""
    repeated_frame_probability: float = Field(default=0.05, ge=0, lt=1)
    """Temporal jitter: the probability that a frame repeats the previous one, as a stalling camera does."""
    max_speed_change: float = Field(default=0.0, ge=0, lt=1)
    """Largest change of speed: 0.25 plays a clip 1 / 1.25 to 1.25 times as fast."""
    erasing_probability: float = Field(default=0.0, ge=0, le=1)
    """Random erasing: the probability that a rectangle of one colour covers a part of every frame."""
    max_erased_area: float = Field(default=0.2, gt=0, le=0.5)
    """Random erasing: the largest fraction of the frame that is covered."""
    mixup_alpha: float = Field(default=0.0, ge=0, le=1)
    """Mixup: clips and their labels are blended with weights from Beta(alpha, alpha)."""
