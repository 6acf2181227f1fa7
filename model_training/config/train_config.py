"""The config of one training run."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from model_training.config.augmentation import AugmentConfig
from model_training.config.network import (
    Architecture,
    BackboneName,
    HeadConfig,
    MotionCropConfig,
    check_clip,
    num_frames_per_step,
)
from model_training.config.part import ConfigPart
from model_training.config.stages import LossConfig, OptimiserConfig, StageConfig
from service.video.clip import ClipSpec

Distribution = Literal["one", "mirrored", "multi_worker"]
_DESCRIPTIVE_FIELDS = frozenset(
    {
        "description",
        "data_source",
        "data_licence",
        "command",
        "hardware",
        "expected_result",
        "intended_use",
        "refused_use",
        "limits",
    }
)


class TeacherConfig(ConfigPart):
    """Distillation: a larger pretrained network whose clip features the trained network learns to predict.

    The teacher is used as published and sees no label. The exported model does not contain it.
    """

    backbone: Literal["i3d"] = "i3d"
    clip: ClipSpec
    """The clips that the teacher sees; they may cover more of a video than the network's own clips."""
    motion_crop: MotionCropConfig | None = None
    weight: float = Field(default=1.0, gt=0)
    """Weight of the mean squared error of the predicted features, in standard deviations, beside the label loss."""

    @model_validator(mode="after")
    def _fits_its_backbone(self) -> Self:
        check_clip(self.backbone, self.clip, self.motion_crop)
        return self


class TrainConfig(ConfigPart):
    """One run, and everything needed to repeat it."""

    former_names: ClassVar[Mapping[str, str]] = {"family": "architecture"}

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    description: str
    data_source: str
    data_licence: str
    command: str
    hardware: str
    expected_result: str
    intended_use: str
    refused_use: str
    limits: str

    clip: ClipSpec
    combine: Literal["mean", "max"] = "mean"
    architecture: Architecture = "cnn_bilstm_attention"
    backbone: BackboneName
    motion_crop: MotionCropConfig | None = None
    """The part of each frame that the backbone sees; None: the whole frame."""
    input: Literal["frames", "differences"] = "frames"
    """Whether the backbone sees frames, or the difference of each frame from the previous one."""
    head: HeadConfig = HeadConfig()
    augment: AugmentConfig = AugmentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    loss: LossConfig = LossConfig()
    teacher: TeacherConfig | None = None
    stages: tuple[StageConfig, ...] = Field(min_length=1)
    batch_size: int = Field(default=16, ge=1)
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """Clips of an epoch. `shuffled`: each clip once. `balanced`: as many samples, the same number of each label."""
    seed: int = Field(default=0, ge=0)
    is_deterministic: bool = True
    """Whether the same seed gives bit-identical weights on the same machine; slower on a GPU."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Compute type of the backbone in training. Its weights and the head are float32."""
    stored_precision: Literal["float32", "float16"] = "float32"
    """Storage type of the exported parameters: `float16` halves the files. The exported model computes in float32,
    and its metrics are measured with the rounded parameters."""
    distribution: Distribution = "one"
    """`mirrored`: every GPU of this machine processes a part of each batch. `multi_worker`: so does every machine
    in `TF_CONFIG`; each runs the same command on the same data."""
    held_out_fold: int | None = None
    """Fold of the manifest that training never sees; the card's metrics come from it."""
    validation_fraction: float = Field(default=0.15, gt=0, lt=0.9)
    """Fraction of the training videos, in whole groups, that early stopping and calibration use."""
    abstention_coverage: float = Field(default=0.9, gt=0, le=1)
    """Fraction of the validation videos that reach the abstention threshold."""
    label_set_coverage: float = Field(default=0.9, gt=0, lt=1)
    """Fraction of videos whose label set should contain the true label; fitted on the validation videos."""

    @property
    def recipe(self) -> str:
        """All options that affect the trained weights, as JSON; descriptive texts are left out."""
        return self.model_dump_json(exclude=set(_DESCRIPTIVE_FIELDS))

    @model_validator(mode="after")
    def _fits_its_backbone(self) -> Self:
        check_clip(self.backbone, self.clip, self.motion_crop)
        if num_frames_per_step(self.backbone) > 1 and self.input == "differences":
            raise ValueError(f"{self.backbone} models motion itself: it takes frames, not differences")
        return self

    @model_validator(mode="after")
    def _fits_its_teacher(self) -> Self:
        if self.teacher is not None and not self.head.sees_statistics:
            raise ValueError(
                "a teacher's features are predicted from the statistics over time: set head.sees_statistics=True"
            )
        if self.teacher is not None and self.augment.mixup_alpha > 0:
            raise ValueError("a teacher has no features of blended clips: set augment.mixup_alpha=0")
        if self.teacher is not None and self.distribution == "multi_worker":
            raise ValueError(
                'a teacher runs before the workers connect: set distribution="one" or distribution="mirrored"'
            )
        return self

    @model_validator(mode="after")
    def _balances_labels_once(self) -> Self:
        if self.sampling == "balanced" and self.loss.is_class_balanced:
            raise ValueError('sampling="balanced" and loss.is_class_balanced both balance the labels: use only one')
        return self
