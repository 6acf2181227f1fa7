"""What is measured of a model, as types: what `--json` writes, what the card keeps, what `verify` compares.

Shares and probabilities lie in 0..1; what has no case is None. Holds no arithmetic.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from model_training.evaluation.baselines import Baselines
from service.video.quality import PictureEnvelope

Point = tuple[float, float]


class Result(BaseModel):
    """A part of the figures; None is left out of JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_serializer(mode="wrap")
    def _without_none(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value is not None}


class Interval(Result):
    """A 95 % confidence interval: percentiles of a bootstrap that draws whole groups."""

    low: float
    high: float


class Averages(Result):
    """Of one label against all others; or, as a mean, of labels that each count the same."""

    precision: float
    recall: float
    f1: float
    roc_auc: float | None = None
    average_precision: float | None = None


class LabelMetrics(Averages):
    """One label against all others."""

    num_videos: int


class LabelCurves(Result):
    """Points of one label's curves: (false positive rate, true positive rate), and (recall, precision)."""

    roc: tuple[Point, ...]
    precision_recall: tuple[Point, ...]


class ReliabilityBin(Result):
    """Answers whose probability lies in one tenth: its mean, and the share that is right."""

    mean_probability: float
    share_right: float
    num_videos: int


class Abstention(Result):
    """What is answered at the abstention threshold, and how well."""

    threshold: float
    coverage: float
    accuracy_when_answering: float | None = None


class LabelSets(Result):
    """How often the true label is in the answered label set, and how large the sets are."""

    coverage_asked: float
    coverage: float
    mean_size: float


class Pointing(Result):
    """How attention points at the true moment; `chance_mass` is what equal attention would put there."""

    pointing_game_hit_rate: float
    mass_inside_event: float
    chance_mass: float
    num_clips: int


class Cost(Result):
    """Medians; decoding of a whole video, the model's call for one clip."""

    decode_milliseconds_per_video: float
    model_milliseconds_per_clip: float


class Metrics(Result):
    """How good a set of answers is. A row of `confusion` is a true label, a column an answered one.

    Of a multi-label model, a video is right if just its labels are answered; calibration is that of each
    label's probability, and there is no confusion, abstention, label set or top-k.
    """

    num_videos: int
    num_clips: int
    num_groups: int
    labels: tuple[str, ...]
    accuracy: float
    balanced_accuracy: float
    top_k_accuracy: dict[str, float]
    """By k, from 2 to 5 where there are more labels than that."""
    macro: Averages
    per_label: dict[str, LabelMetrics]
    confusion: tuple[tuple[int, ...], ...] | None = None
    expected_calibration_error: float
    reliability: tuple[ReliabilityBin, ...]
    abstention: Abstention | None = None
    label_sets: LabelSets | None = None
    attention: Pointing | None = None
    intervals: dict[str, Interval]
    """Of accuracy, balanced_accuracy, macro_f1, macro_roc_auc and expected_calibration_error; empty with one group."""
    curves: dict[str, LabelCurves]
    cost: Cost | None = None


class Evaluation(Metrics):
    """The figures of one model on chosen videos: what `evaluate --json` writes."""

    model: str
    version: str
    digest: str
    folds: tuple[int, ...]
    """None given: all videos."""
    over_http: str | None = None
    """The service that answered; None where the exported model did."""
    num_unreadable: int = 0
    """Videos that were left out because they cannot be used."""
    baselines: Baselines | None = None
    """On the same videos, taught on the model's training videos; None where these are not known or among them."""


class CrossValidation(Result):
    """What exported models answer for the videos of the folds that they never saw: means over seeds.

    A `*_deviation` is the standard deviation over seeds, of all folds' answers together; `*_over_folds` that of
    single runs, each one fold and seed.
    """

    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    num_videos: int
    num_groups: int
    accuracy: float
    accuracy_deviation: float
    accuracy_deviation_over_folds: float
    accuracy_interval: Interval | None = None
    macro_f1: float
    macro_f1_deviation: float
    expected_calibration_error: float
    expected_calibration_error_deviation: float
    attention: Pointing | None = None
    model_milliseconds_per_clip: float
    command: str
    num_leaks: int = 0
    """Between a fold and the rest, all of them allowed; of records that do not say, none is known."""
    baselines: Baselines | None = None
    """On the same videos, each fold taught on the others."""


class OrderedCurve(Result):
    """Mean probability of the clip's answer as frames go, in three orders; `area_*` is under its curve."""

    attention: tuple[float, ...]
    random: tuple[float, ...]
    even: tuple[float, ...]
    area_attention: float
    area_random: float
    area_even: float
    gain_over_random: float
    """How much better attention's order is: a smaller area for deletion, a larger one for insertion."""
    gain_over_random_interval: Interval | None = None
    gain_over_even: float
    gain_over_even_interval: Interval | None = None


class Faithfulness(Result):
    """What deleting and inserting frames in the order of their attention does to the answer."""

    num_clips: int
    shares: tuple[float, ...]
    """Share of frames deleted (deletion) or kept (insertion) at each point of the curves."""
    deletion: OrderedCurve
    insertion: OrderedCurve
    attention_is_explanation: bool | None = None
    """Whether both gains over random order are sure to be above 0; None where that cannot be told."""


class ChangeMetrics(Result):
    """The same videos, changed in one way."""

    accuracy: float
    agreement: float
    """Share of videos that get the answer their clean copy got."""
    mean_probability_shift: float
    """Mean absolute change of the clean answer's probability."""


class Robustness(Result):
    """How much the answers depend on how a video was made."""

    num_videos: int
    clean_accuracy: float
    changes: dict[str, ChangeMetrics]


class DataUse(Result):
    """The videos of one use; `digest` covers their paths, labels, groups and bytes."""

    num_videos: int
    num_groups: int
    per_label: dict[str, int]
    digest: str


class Assessment(Result):
    """Everything a card prints that follows from a model and its data; `verify` makes it again."""

    data: dict[str, DataUse]
    """By use: training, validation, held_out."""
    abstention_threshold: float | None = None
    label_set_least_probability: float | None = None
    label_thresholds: tuple[float, ...] | None = None
    """Of a multi-label model, in place of the two above."""
    validation: Metrics
    held_out: Metrics | None = None
    faithfulness: Faithfulness
    """On the held-out videos, or on validation where none was held out; so is `robustness`."""
    robustness: Robustness
    picture_envelope: PictureEnvelope
    """What the training clips look like."""
    baselines: Baselines
    """On the same videos, taught on the training videos."""

    @property
    def best(self) -> Metrics:
        """The figures to quote: held out if there are such, or else of validation."""
        return self.held_out or self.validation
