"""The metrics, and their values for few videos or labels."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from model_training.evaluation.bootstrap import group_interval, mean_interval
from model_training.evaluation.calibration import label_thresholds
from model_training.evaluation.metrics import (
    abstention_metrics,
    accuracy,
    averages,
    balanced_accuracy_and_macro_f1,
    calibration_error,
    curves,
    intervals,
    label_metrics,
    macro_roc_auc,
    pointing,
    reliability,
    top_k_accuracy,
)

LABELS = ("a", "b", "c")
TARGETS = np.eye(3, dtype=bool)[[0, 0, 1, 1, 1, 0]]
PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.1, 0.8, 0.1], [0.2, 0.6, 0.2], [0.5, 0.4, 0.1], [0.9, 0.05, 0.05]]
)

PREDICTED = np.eye(3, dtype=bool)[PROBABILITIES.argmax(axis=1)]
CALIBRATION = (PROBABILITIES.max(axis=1, keepdims=True), (PREDICTED & TARGETS).any(axis=1, keepdims=True))


def test_a_label_is_measured_against_the_rest() -> None:
    of = label_metrics(PROBABILITIES, PREDICTED, TARGETS, LABELS)
    assert (of["a"].precision, of["a"].recall, of["a"].num_videos) == (0.6667, 0.6667, 3)
    # Of the nine pairs of an `a` and another, seven are in order, none is tied: .7 .4 .9 against .1 .2 .5.
    assert of["a"].roc_auc == pytest.approx(8 / 9, abs=1e-4)


def test_a_label_without_videos_has_no_area_and_does_not_affect_the_mean() -> None:
    of = label_metrics(PROBABILITIES, PREDICTED, TARGETS, LABELS)
    assert of["c"].roc_auc is None
    assert of["c"].recall == 0
    assert averages(of).roc_auc == pytest.approx(np.mean([of["a"].roc_auc, of["b"].roc_auc]), abs=1e-4)
    assert set(curves(PROBABILITIES, TARGETS, LABELS)) == {"a", "b"}


def test_curves_go_from_corner_to_corner() -> None:
    curve = curves(PROBABILITIES, TARGETS, LABELS)["a"]
    assert (curve.roc[0], curve.roc[-1]) == ((0, 0), (1, 1))
    assert {curve.precision_recall[0][0], curve.precision_recall[-1][0]} == {0, 1}


def test_a_long_curve_is_reduced_to_64_points() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=2000)
    targets = np.eye(2, dtype=bool)[rng.integers(0, 2, 2000)]
    curve = curves(np.stack([scores, 1 - scores], axis=1), targets, ("a", "b"))["a"]
    assert len(curve.roc) == len(curve.precision_recall) == 64


def test_top_2_counts_the_second_best_label_and_needs_three_labels() -> None:
    assert top_k_accuracy(PROBABILITIES, TARGETS) == {"2": 1.0}
    assert top_k_accuracy(PROBABILITIES[:, :2], TARGETS[:, :2]) == {}


def test_calibration_error_is_the_mean_gap_of_the_bins_by_their_videos() -> None:
    # 0.95 four times and right three times; 0.55 twice and never right.
    claimed = np.array([[0.95]] * 4 + [[0.55]] * 2)
    is_right = np.array([[True]] * 3 + [[False]] * 3)
    assert [(one.mean_probability, one.share_right, one.num_videos) for one in reliability(claimed, is_right)] == [
        (0.55, 0.0, 2),
        (0.95, 0.75, 4),
    ]
    assert calibration_error(claimed, is_right) == pytest.approx((4 * 0.2 + 2 * 0.55) / 6, abs=1e-4)


def test_without_covered_videos_there_is_no_accuracy() -> None:
    assert abstention_metrics(PROBABILITIES, TARGETS, 0.99).accuracy_when_answering is None
    assert abstention_metrics(PROBABILITIES, TARGETS, 0.7).coverage == 0.5


def test_an_interval_is_wider_when_videos_come_from_few_sources() -> None:
    rng = np.random.default_rng(0)
    # Ten sources of thirty videos each; all predictions of a source are equally right.
    sources = np.repeat(np.arange(10), 30).astype(str)
    values = np.repeat(rng.integers(0, 2, 10), 30).astype(float)
    of_sources = mean_interval(values.tolist(), list(sources))
    of_videos = mean_interval(values.tolist(), [str(place) for place in range(300)])
    assert of_sources is not None
    assert of_videos is not None
    assert of_sources.high - of_sources.low > 3 * (of_videos.high - of_videos.low)
    assert of_sources.low <= values.mean() <= of_sources.high
    assert mean_interval(values.tolist(), list(sources)) == of_sources


def test_one_source_alone_gives_no_interval() -> None:
    assert mean_interval([0.0, 1.0], ["a", "a"]) is None
    assert intervals(PROBABILITIES, PREDICTED, TARGETS, CALIBRATION, ["a"] * 6) == {}


def test_resamples_without_a_value_are_ignored() -> None:
    interval = group_interval(lambda rows: 1.0 if 0 in rows else float("nan"), ["a", "b"])
    assert interval is not None
    assert (interval.low, interval.high) == (1, 1)


def test_intervals_contain_their_metrics() -> None:
    found = intervals(PROBABILITIES, PREDICTED, TARGETS, CALIBRATION, ["a", "b", "c", "d", "e", "f"])
    assert found["accuracy"].low <= 4 / 6 <= found["accuracy"].high
    assert set(found) == {"accuracy", "balanced_accuracy", "macro_f1", "macro_roc_auc", "expected_calibration_error"}


def test_pointing_counts_peaks_and_mass_inside_the_event() -> None:
    attention = np.array([0.1, 0.6, 0.3, 0.0], np.float32)
    inside = np.array([False, True, False, False])
    found = pointing([attention, attention], [inside, ~inside])
    assert found.pointing_game_hit_rate == 0.5
    assert found.mass_inside_event == 0.5
    assert found.chance_mass == pytest.approx((1 / 3 + 1) / 2, abs=1e-3)


def test_a_video_with_several_labels_is_correct_only_if_all_are() -> None:
    targets = np.array([[True, True], [False, False], [True, False]])
    predicted = np.array([[True, True], [False, True], [True, False]])
    assert accuracy(predicted, targets) == pytest.approx(2 / 3)
    of = label_metrics(predicted.astype(float), predicted, targets, ("a", "b"))
    assert (of["a"].precision, of["a"].recall) == (1, 1)
    assert (of["b"].precision, of["b"].recall) == (0.5, 1)


def test_label_thresholds_maximise_f1() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.3], [0.3, 0.2], [0.2, 0.05]])
    targets = np.array([[True, True], [True, True], [False, True], [False, False]])
    first, second = label_thresholds(probabilities, targets)
    assert 0.3 < first <= 0.8
    assert 0.05 < second <= 0.1
    assert label_thresholds(probabilities, np.ones((4, 2), bool)) == (0.5, 0.5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_metrics_of_resamples_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.integers(0, 6, (12, 3)) / 5
    true, predicted = rng.integers(0, 3, 12), rng.integers(0, 3, 12)
    targets, predicted_labels = np.eye(3, dtype=bool)[true], np.eye(3, dtype=bool)[predicted]
    balanced_accuracy, macro_f1 = balanced_accuracy_and_macro_f1(predicted_labels, targets)
    assert balanced_accuracy == pytest.approx(balanced_accuracy_score(true, predicted))
    assert macro_f1 == pytest.approx(f1_score(targets, predicted_labels, average="macro", zero_division=0))
    assert macro_roc_auc(probabilities, targets) == pytest.approx(roc_auc_score(targets, probabilities))


def test_metrics_of_a_resample_without_labels_are_undefined() -> None:
    nothing = np.zeros((4, 2), bool)
    balanced_accuracy, macro_f1 = balanced_accuracy_and_macro_f1(nothing, nothing)
    assert np.isnan(balanced_accuracy)
    assert macro_f1 == 0
    assert np.isnan(macro_roc_auc(np.zeros((4, 2)), nothing))
