"""Every knob of a training run: typed, bounded, its unit in its name. Knows nothing of TensorFlow."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.video.clip import ClipSpec

Architecture = Literal["cnn", "cnn_bilstm", "cnn_bilstm_attention"]
BackboneName = Literal["efficientnet_lite0", "mobilenet_v2", "i3d", "tiny"]
HeadKind = Literal["softmax", "sigmoid", "multi_label"]
Distribution = Literal["one", "mirrored", "multi_worker"]
_I3D_FRAMES_PER_STEP = 8
_WORDS = frozenset(
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


def num_frames_per_step(backbone: BackboneName) -> int:
    """How many frames of a clip become one step in time; 1 unless the backbone itself sees time."""
    return _I3D_FRAMES_PER_STEP if backbone == "i3d" else 1


class ConfigPart(BaseModel):
    """A part of a config: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    former_names: ClassVar[Mapping[str, str]] = {}
    """Former names of fields that are still accepted, with their present names."""

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        # A former name that `model_copy` added stands beside the present one, and is the newer of the two.
        former = {cls.former_names[name]: value for name, value in given.items() if name in cls.former_names}
        return {name: value for name, value in given.items() if name not in cls.former_names} | former


class MotionCropConfig(ConfigPart):
    """Cut the square in which most moves out of every frame of a clip, and let the backbone see that alone.

    It is found by the exported model itself, so training and serving look at the same place.
    """

    former_names = {"movement_share": "movement_fraction"}

    size: int = Field(ge=32, le=512)
    """Pixels along each side of what the backbone sees. The clip's frames should be larger, or little is gained."""
    min_side: float = Field(default=0.3, gt=0, le=1)
    """The smallest square that is tried, as a share of the picture's shorter side; the largest is all of that."""
    movement_fraction: float = Field(default=0.7, gt=0, le=1)
    """How much of all movement the square has to hold: it is the smallest that does."""


class HeadConfig(ConfigPart):
    """What of a frame is looked at, by what over time, and what kind of answer that gives."""

    kind: HeadKind = "softmax"
    """`softmax`: one label of all. `sigmoid`: the same for two labels, from one number. `multi_label`: each
    label for itself; a video may have several of them, or none."""
    sees_appearance: bool = True
    """Whether features hold what a frame shows, beside what moved in it since the frame before. Without,
    a network cannot learn to recognise the scenes of its training videos."""
    sees_motion: bool = True
    """Whether features hold what moved in a frame since the frame before."""
    sees_statistics: bool = False
    """Whether the answer also draws on mean, deviation and mean absolute change of the features over time.
    Attention has no part in these: it then explains less of the answer."""

    feature_width: int = Field(default=96, ge=4)
    lstm_units: int = Field(default=48, ge=2)
    """Per direction."""
    attention_width: int = Field(default=48, ge=2)
    num_attention_heads: int = Field(default=4, ge=1)
    """Of the self-attention over time of `cnn_bilstm_attention`."""
    dropout: float = Field(default=0.4, ge=0, lt=1)
    max_weight_norm: float | None = Field(default=None, gt=0)
    """Weight clipping: after each step, every kernel column of the head is scaled back to this norm."""

    @property
    def sums_to_one(self) -> bool:
        """Whether the labels share one probability, so that exactly one of them is meant."""
        return self.kind != "multi_label"

    @model_validator(mode="after")
    def _sees_something(self) -> Self:
        if not self.sees_appearance and not self.sees_motion:
            raise ValueError("sees_appearance and sees_motion are both off: nothing is left to look at")
        return self


class AugmentConfig(ConfigPart):
    """What training does to a clip, the same for all its frames. Zero or false switches a part off."""

    former_names = {"held_frame_rate": "repeated_frame_probability"}

    min_crop_area: float = Field(default=0.6, gt=0, le=1)
    """Random resized crop: the least share of the picture kept; 1 switches it off."""
    max_aspect_change: float = Field(default=0.15, ge=0, lt=1)
    is_flipped: bool = True
    """Mirror left and right, half of the time."""
    brightness: float = Field(default=0.2, ge=0, lt=1)
    contrast: float = Field(default=0.2, ge=0, lt=1)
    saturation: float = Field(default=0.2, ge=0, le=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """Share of the colour wheel by which hues turn at most, either way."""
    max_dropped_frames: int = Field(default=2, ge=0)
    """Temporal jitter: up to this many frames are cut from either end, as if the video were shorter."""
    repeated_frame_probability: float = Field(default=0.05, ge=0, lt=1)
    """Temporal jitter: the chance that a frame repeats the one before, as a stalling camera does."""
    max_speed_change: float = Field(default=0.0, ge=0, lt=1)
    """Up to this share faster, or as much slower: 0.25 plays between 1 / 1.25 and 1.25 times as fast."""
    erasing_probability: float = Field(default=0.0, ge=0, le=1)
    """Random erasing: the chance that a rectangle of one colour covers part of every frame."""
    max_erased_area: float = Field(default=0.2, gt=0, le=0.5)
    """Random erasing: the largest share of the picture that is covered."""
    mixup_alpha: float = Field(default=0.0, ge=0, le=1)
    """Mixup: clips are blended by shares drawn from Beta(alpha, alpha), and their labels likewise."""


class OptimiserConfig(ConfigPart):
    """Optimiser, learning-rate decay, gradient clipping and averaging of weights."""

    kind: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(default=0.01, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of `sgd` alone."""
    max_gradient_norm: float | None = Field(default=1.0, gt=0)
    decay: Literal["cosine", "step", "none"] = "cosine"
    warmup_fraction: float = Field(default=0.05, ge=0, lt=1)
    """Share of a stage's steps over which the learning rate rises from 0."""
    step_decay_factor: float = Field(default=0.3, gt=0, le=1)
    num_step_decays: int = Field(default=2, ge=1)
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Exponential moving average: what is validated and kept are weights averaged over about
    1 / (1 - `ema_decay`) steps."""


class LossConfig(ConfigPart):
    """What training makes small."""

    kind: Literal["cross_entropy", "focal"] = "cross_entropy"
    focal_gamma: float = Field(default=2.0, ge=0)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    is_class_balanced: bool = True
    """Weigh each label by the inverse of its share of the training clips."""
    attention_weight: float = Field(default=0.0, ge=0)
    """Weight of -log(attention inside the event), where the dataset says when the event is."""


class StageConfig(ConfigPart):
    """One stretch of training. Stages follow each other, each from the best weights so far."""

    former_names = {"pruned_share": "pruned_fraction"}

    name: str
    num_epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    backbone: Literal["frozen", "last_blocks", "all"]
    num_backbone_blocks: int = Field(default=0, ge=0)
    """With `last_blocks`: how many, counted from the output."""
    batch_norm: Literal["frozen", "updated"] = "frozen"
    """Whether the backbone's batch-norm statistics and scales follow the new data."""
    are_lower_blocks_stored: bool = False
    """With `last_blocks`: whether the blocks below them see a few augmented copies of each clip once and for all, as
    a frozen backbone does, instead of new ones in every epoch. An epoch then costs only what learns."""
    num_feature_views: int = Field(default=8, ge=1)
    """With a frozen backbone or stored lower blocks: how many augmented copies of each clip; epochs take turns
    among them."""
    patience_epochs: int = Field(default=10, ge=1)
    """Early stopping: epochs without a lower validation loss before the stage ends."""
    kept_epoch: Literal["best", "last"] = "best"
    """Whose weights the stage ends with: those of the lowest validation loss, or of the last epoch. Where validation
    is few videos the best is luck, and a learning rate that decays to nothing settles on its own."""
    pruned_fraction: float = Field(default=0, ge=0, lt=1)
    """Magnitude pruning: this share of every kernel's numbers, the smallest, is 0 at the end of the stage. It
    rises over the first half of the stage's steps; only epochs after that can be the best."""

    @property
    def num_blocks_above_stored(self) -> int | None:
        """How many of the backbone's last blocks learn from what is stored of the others; None if nothing is."""
        if self.backbone == "frozen":
            return 0
        return self.num_backbone_blocks if self.are_lower_blocks_stored else None

    @model_validator(mode="after")
    def _stores_what_does_not_learn(self) -> Self:
        if self.are_lower_blocks_stored and (self.backbone != "last_blocks" or not self.num_backbone_blocks):
            raise ValueError('are_lower_blocks_stored is for backbone="last_blocks" with some num_backbone_blocks')
        return self


class TeacherConfig(ConfigPart):
    """A larger network whose features of a clip are to be told by the one that is trained (distillation).

    It is as published, and sees no label. Only training asks it: the exported model does without.
    """

    backbone: Literal["i3d"] = "i3d"
    clip: ClipSpec
    """What the teacher looks at; it may see more of a video than the network does."""
    motion_crop: MotionCropConfig | None = None
    weight: float = Field(default=1.0, gt=0)
    """Of the mean squared error of what is told, in standard deviations, beside the loss of the labels."""

    @model_validator(mode="after")
    def _fits_its_backbone(self) -> Self:
        _check_clip(self.backbone, self.clip, self.motion_crop)
        return self


class TrainConfig(ConfigPart):
    """One run, and what it takes to repeat it."""

    former_names = {"family": "architecture"}

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
    """Which part of each frame the backbone sees; None: all of it."""
    input: Literal["frames", "differences"] = "frames"
    """What the backbone sees: frames, or how each differs from the one before."""
    head: HeadConfig = HeadConfig()
    augment: AugmentConfig = AugmentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    loss: LossConfig = LossConfig()
    teacher: TeacherConfig | None = None
    stages: tuple[StageConfig, ...] = Field(min_length=1)
    batch_size: int = Field(default=16, ge=1)
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """What an epoch sees: `shuffled`, every clip once; `balanced`, as many draws, the same number of each label."""
    seed: int = Field(default=0, ge=0)
    is_deterministic: bool = True
    """Whether the same seed gives the same weights, bit for bit, on the same machine; costs time on a GPU."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """What the backbone computes in while training. Its weights and the head are float32."""
    stored_precision: Literal["float32", "float16"] = "float32"
    """What the exported model keeps its numbers in: `float16` halves its files. It computes in float32 all the same,
    and its figures are those of the rounded numbers."""
    distribution: Distribution = "one"
    """`mirrored`: every GPU of this machine takes a share of each batch. `multi_worker`: so does every machine
    that `TF_CONFIG` names, each running the same command on the same data."""
    held_out_fold: int | None = None
    """Fold of the manifest that training never sees; the card's figures come from it."""
    validation_fraction: float = Field(default=0.15, gt=0, lt=0.9)
    """Share of the training videos, whole groups of them, that steers early stopping and calibration."""
    abstention_coverage: float = Field(default=0.9, gt=0, le=1)
    """Share of the validation videos the abstention threshold lets through."""
    label_set_coverage: float = Field(default=0.9, gt=0, lt=1)
    """Share of videos whose label set is to hold the true label; fitted on validation."""

    @property
    def recipe(self) -> str:
        """All that decides how a run ends, as JSON: what is said for people may be mended between two runs."""
        return self.model_dump_json(exclude=set(_WORDS))

    @model_validator(mode="after")
    def _fits_its_backbone(self) -> Self:
        _check_clip(self.backbone, self.clip, self.motion_crop)
        if num_frames_per_step(self.backbone) > 1 and self.input == "differences":
            raise ValueError(f"{self.backbone} sees motion itself: it takes frames, not differences")
        return self

    @model_validator(mode="after")
    def _can_be_taught(self) -> Self:
        if self.teacher is not None and not self.head.sees_statistics:
            raise ValueError("a teacher's features are told from the statistics: set head.sees_statistics=True")
        if self.teacher is not None and self.augment.mixup_alpha > 0:
            raise ValueError("a teacher's features of mixed clips are not known: set augment.mixup_alpha=0")
        if self.teacher is not None and self.distribution == "multi_worker":
            raise ValueError('a teacher looks before the workers meet: set distribution="one" or "mirrored"')
        return self

    @model_validator(mode="after")
    def _levels_labels_once(self) -> Self:
        if self.sampling == "balanced" and self.loss.is_class_balanced:
            raise ValueError(
                'sampling="balanced" and loss.is_class_balanced both level the labels: switch the latter off'
            )
        return self


def backbone_clip(clip: ClipSpec, motion_crop: MotionCropConfig | None) -> ClipSpec:
    """The clip as a backbone sees it."""
    if motion_crop is None:
        return clip
    return clip.model_copy(update={"height": motion_crop.size, "width": motion_crop.size})


def _check_clip(backbone: BackboneName, clip: ClipSpec, motion_crop: MotionCropConfig | None) -> None:
    num_frames = num_frames_per_step(backbone)
    if clip.num_frames % num_frames:
        raise ValueError(f"{backbone} takes clips of a multiple of {num_frames} frames")
    if motion_crop is not None and clip.num_frames == 1:
        raise ValueError("motion_crop looks for movement: it takes clips of two frames or more")
