"""Types of evaluation results: `--json` writes them, the card stores them, `verify` compares them.

Fractions and probabilities are in 0..1; None means that the value is undefined. The field names are JSON keys of
shipped models.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from model_training.evaluation.baselines import Baselines
from service.video.quality import PictureEnvelope

Point = tuple[float, float]


class Result(BaseModel):
    """Base of all results; fields that are None are left out of JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_serializer(mode="wrap")
    def _without_none(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value is not None}


class Interval(Result):
    """A 95 % confidence interval: percentiles of a bootstrap over groups."""

    low: float
    high: float


class Averages(Result):
    """Metrics of one label against the rest, or their unweighted means over labels (macro averages)."""

    precision: float
    recall: float
    f1: float
    roc_auc: float | None = None
    average_precision: float | None = None


class LabelMetrics(Averages):
    """Metrics of one label against the rest."""

    num_videos: int


class LabelCurves(Result):
    """Points of one label's curves: (false positive rate, true positive rate) and (recall, precision)."""

    roc: tuple[Point, ...]
    precision_recall: tuple[Point, ...]


class ReliabilityBin(Result):
    """A reliability bin: mean probability of its predictions, and the fraction that is correct."""

    mean_probability: float
    share_right: float
    num_videos: int


class Abstention(Result):
    """Coverage and accuracy at the abstention threshold."""

    threshold: float
    coverage: float
    accuracy_when_answering: float | None = None


class LabelSets(Result):
    """Coverage and mean size of the predicted label sets; `coverage_asked` is the target coverage."""

    coverage_asked: float
    coverage: float
    mean_size: float


class Pointing(Result):
    """Attention inside the annotated event; `chance_mass` is the mass that uniform attention would have there."""

    pointing_game_hit_rate: float
    mass_inside_event: float
    chance_mass: float
    num_clips: int


class Cost(Result):
    """Median times of decoding a video and of a model call for one clip."""

    decode_milliseconds_per_video: float
    model_milliseconds_per_clip: float


class Metrics(Result):
    """Metrics of a set of predictions. `confusion` has a row for each true label, a column for each predicted one.

    With a multi-label model, a video is correct if exactly its labels are predicted, and calibration is measured
    on each label's probability; `confusion`, `abstention`, `label_sets` and `top_k_accuracy` are absent.
    """

    num_videos: int
    num_clips: int
    num_groups: int
    labels: tuple[str, ...]
    accuracy: float
    balanced_accuracy: float
    top_k_accuracy: dict[str, float]
    """By k, from 2 to 5, for k below the number of labels."""
    macro: Averages
    per_label: dict[str, LabelMetrics]
    confusion: tuple[tuple[int, ...], ...] | None = None
    expected_calibration_error: float
    reliability: tuple[ReliabilityBin, ...]
    abstention: Abstention | None = None
    label_sets: LabelSets | None = None
    attention: Pointing | None = None
    intervals: dict[str, Interval]
    """For accuracy, balanced_accuracy, macro_f1, macro_roc_auc, expected_calibration_error; empty with one group."""
    curves: dict[str, LabelCurves]
    cost: Cost | None = None


class Evaluation(Metrics):
    """Metrics of one model on selected videos, as `evaluate --json` writes them."""

    model: str
    version: str
    digest: str
    folds: tuple[int, ...]
    """Empty: all videos."""
    over_http: str | None = None
    """URL of the service that predicted; None if the exported model predicted."""
    num_unreadable: int = 0
    """Number of unreadable videos, which were left out."""
    baselines: Baselines | None = None
    """On the same videos, fitted on the model's training videos; None if these are unknown or among the videos."""


def evaluation_of(
    metrics: Metrics,
    *,
    model: str,
    version: str,
    digest: str,
    folds: tuple[int, ...],
    over_http: str | None = None,
    num_unreadable: int = 0,
    baselines: Baselines | None = None,
) -> Evaluation:
    """The metrics with the model and the videos that they belong to. Every field of `metrics` is kept."""
    return Evaluation(
        **dict(metrics),
        model=model,
        version=version,
        digest=digest,
        folds=folds,
        over_http=over_http,
        num_unreadable=num_unreadable,
        baselines=baselines,
    )


class CrossValidation(Result):
    """Metrics of out-of-fold predictions by exported models, as means over seeds.

    A `*_deviation` is the standard deviation over seeds, with the predictions of all folds pooled;
    `*_over_folds` is the standard deviation over single runs (one fold and seed).
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
    """Allowed leaks between a held-out fold and the other folds; 0 in older records, which lack the field."""
    baselines: Baselines | None = None
    """On the same videos, each fold predicted from the others."""


class OrderedCurve(Result):
    """Mean probability of the predicted label as frames are deleted, in three orders; `area_*` is under the curve."""

    attention: tuple[float, ...]
    random: tuple[float, ...]
    even: tuple[float, ...]
    area_attention: float
    area_random: float
    area_even: float
    gain_over_random: float
    """Advantage of the attention order: a smaller area for deletion, a larger one for insertion."""
    gain_over_random_interval: Interval | None = None
    gain_over_even: float
    gain_over_even_interval: Interval | None = None


class Faithfulness(Result):
    """Effect on the prediction of deleting and inserting frames in the order of their attention."""

    num_clips: int
    shares: tuple[float, ...]
    """Fractions of frames deleted (deletion) or kept (insertion) at the points of the curves."""
    deletion: OrderedCurve
    insertion: OrderedCurve
    attention_is_explanation: bool | None = None
    """Whether both gains over random order are significantly above 0; None without intervals."""


class ChangeMetrics(Result):
    """Metrics of the same videos after one change."""

    accuracy: float
    agreement: float
    """Fraction of videos with the same prediction as the original."""
    mean_probability_shift: float
    """Mean absolute change of the probability of the original's predicted label."""


class Robustness(Result):
    """Sensitivity of the predictions to encoding, size, brightness and frame rate."""

    num_videos: int
    clean_accuracy: float
    changes: dict[str, ChangeMetrics]


class DataUse(Result):
    """The videos of one use; `digest` covers their bytes, labels, groups, segments and event times."""

    num_videos: int
    num_groups: int
    per_label: dict[str, int]
    digest: str


class Assessment(Result):
    """All results in a card that follow from the model and its data; `verify` measures them again."""

    data: dict[str, DataUse]
    """By use: training, validation, held_out."""
    abstention_threshold: float | None = None
    label_set_least_probability: float | None = None
    label_thresholds: tuple[float, ...] | None = None
    """With a multi-label model; replaces the two thresholds above."""
    validation: Metrics
    held_out: Metrics | None = None
    faithfulness: Faithfulness
    """On the held-out videos, or on the validation videos if no fold was held out; likewise `robustness`."""
    robustness: Robustness
    picture_envelope: PictureEnvelope
    """Percentiles of luminance and sharpness over the training clips."""
    baselines: Baselines
    """On the same videos, fitted on the training videos."""

    @property
    def best(self) -> Metrics:
        """The metrics to quote: of the held-out videos if there are any, otherwise of the validation videos."""
        return self.held_out or self.validation
