"""Options of the network: architecture, backbone, motion crop and head."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from model_training.config.part import ConfigPart
from service.video.clip import ClipSpec

Architecture = Literal["cnn", "cnn_bilstm", "cnn_bilstm_attention"]
BackboneName = Literal["efficientnet_lite0", "mobilenet_v2", "i3d", "tiny"]
HeadKind = Literal["softmax", "sigmoid", "multi_label"]
_I3D_FRAMES_PER_STEP = 8


def num_frames_per_step(backbone: BackboneName) -> int:
    """Number of frames that form one time step: 8 for I3D, which convolves over time, 1 for the others."""
    return _I3D_FRAMES_PER_STEP if backbone == "i3d" else 1


class MotionCropConfig(ConfigPart):
    """Crop all frames of a clip to the square with the most movement; the backbone sees only the crop.

    The exported model computes the square, so training and serving crop alike.
    """

    former_names: ClassVar[Mapping[str, str]] = {"movement_share": "movement_fraction"}

    size: int = Field(ge=32, le=512)
    """Pixels along each side of the crop that the backbone sees. A crop gains detail where frames are larger."""
    min_side: float = Field(default=0.3, gt=0, le=1)
    """Smallest square that is tried, as a fraction of the frame's shorter side; the largest is the whole side."""
    movement_fraction: float = Field(default=0.7, gt=0, le=1)
    """Fraction of all movement that the square must contain; the smallest such square is taken."""


class HeadConfig(ConfigPart):
    """The features of a frame, the layers over time, and the kind of output."""

    kind: HeadKind = "softmax"
    """`softmax`: exactly one label. `sigmoid`: the same for two labels, from a single logit. `multi_label`: an
    independent probability for each label; a video may have several labels, or none."""
    sees_appearance: bool = True
    """Whether features include the content of a frame, beside its difference from the previous frame. Without it,
    a network cannot learn to recognise the scenes of its training videos."""
    sees_motion: bool = True
    """Whether features include the difference from the previous frame."""
    sees_statistics: bool = False
    """Whether the output also uses mean, standard deviation and mean absolute change of the features over time.
    Attention does not weight these, so it then explains less of the output."""

    feature_width: int = Field(default=96, ge=4)
    lstm_units: int = Field(default=48, ge=2)
    """Per direction."""
    attention_width: int = Field(default=48, ge=2)
    num_attention_heads: int = Field(default=4, ge=1)
    """Of the self-attention over time in `cnn_bilstm_attention`."""
    dropout: float = Field(default=0.4, ge=0, lt=1)
    max_weight_norm: float | None = Field(default=None, gt=0)
    """Weight constraint: after each step, kernel columns of the head with a larger norm are scaled back to it."""

    @property
    def sums_to_one(self) -> bool:
        """Whether the probabilities of the labels sum to 1, so that exactly one label is predicted."""
        return self.kind != "multi_label"

    @model_validator(mode="after")
    def _has_features(self) -> Self:
        if not self.sees_appearance and not self.sees_motion:
            raise ValueError("sees_appearance and sees_motion are both off: the head has no features left")
        return self


def backbone_clip(clip: ClipSpec, motion_crop: MotionCropConfig | None) -> ClipSpec:
    """The clip that the backbone sees, after the motion crop."""
    if motion_crop is None:
        return clip
    return clip.model_copy(update={"height": motion_crop.size, "width": motion_crop.size})


def check_clip(backbone: BackboneName, clip: ClipSpec, motion_crop: MotionCropConfig | None) -> None:
    """Check that the backbone and the motion crop accept clips of this length.

    Raises:
        ValueError: they do not.
    """
    num_frames = num_frames_per_step(backbone)
    if clip.num_frames % num_frames:
        raise ValueError(f"{backbone} takes clips of a multiple of {num_frames} frames")
    if motion_crop is not None and clip.num_frames == 1:
        raise ValueError("motion_crop compares frames: it takes clips of two frames or more")
