"""What counts as a difference between a card and what was measured again."""

from typing import Any

import pytest

from model_training.figures import Assessment
from model_training.verify import differences

FIGURES: dict[str, Any] = {
    "num_videos": 20,
    "num_clips": 20,
    "num_groups": 4,
    "labels": ["a", "b"],
    "accuracy": 0.9,
    "balanced_accuracy": 0.9,
    "top_k_accuracy": {},
    "macro": {"precision": 0.9, "recall": 0.9, "f1": 0.9},
    "per_label": {},
    "confusion": [[9, 1], [1, 9]],
    "expected_calibration_error": 0.1,
    "reliability": [],
    "abstention": {"threshold": 0.6, "coverage": 0.9},
    "intervals": {"accuracy": {"low": 0.8, "high": 1.0}},
    "curves": {},
    "cost": {"decode_milliseconds_per_video": 10.0, "model_milliseconds_per_clip": 5.0},
}
CURVE = {name: [0.9, 0.5] for name in ("attention", "random", "even")} | dict.fromkeys(
    ("area_attention", "area_random", "area_even", "gain_over_random", "gain_over_even"), 0.7
)

PERCENTILES = {"p1": 0.1, "p5": 0.2, "p95": 0.8, "p99": 0.9}
DARKENED = {"accuracy": 0.6667, "agreement": 0.8333, "mean_probability_shift": 0.1}
SCORE = {"accuracy": 0.5, "macro_f1": 0.3}


def _assessment(**changed: Any) -> Assessment:
    darkened = changed.pop("darkened", {})
    data = {"num_videos": 20, "num_groups": 4, "per_label": {"a": 10, "b": 10}, "digest": "sha256:1"}
    return Assessment.model_validate(
        {
            "data": {"validation": data | changed.pop("data", {})},
            "abstention_threshold": 0.6,
            "label_set_least_probability": 0.2,
            "validation": FIGURES | changed,
            "faithfulness": {"num_clips": 2, "shares": [0, 1], "deletion": CURVE, "insertion": CURVE},
            "robustness": {"num_videos": 24, "clean_accuracy": 1.0, "changes": {"darkened": DARKENED | darkened}},
            "picture_envelope": {"num_clips": 9, "luminance": PERCENTILES, "sharpness": PERCENTILES},
            "baselines": {"majority": SCORE, "metadata": SCORE, "mean_frame": SCORE, "num_videos": 20},
        }
    )


def test_the_same_figures_do_not_differ() -> None:
    assert differences(_assessment(), _assessment()) == []


def test_costs_may_differ() -> None:
    slower = {"decode_milliseconds_per_video": 90.0, "model_milliseconds_per_clip": 50.0}
    assert differences(_assessment(), _assessment(cost=slower)) == []


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"accuracy": 0.91}, "validation.accuracy: the card says 0.9, measured 0.91"),
        ({"confusion": [[9, 1], [2, 8]]}, "validation.confusion[1][0]: the card says 1, measured 2"),
        ({"data": {"digest": "sha256:2"}}, "data.validation.digest: the card says sha256:1, measured sha256:2"),
        ({"intervals": {}}, "validation.intervals.accuracy: the card says {'low': 0.8, 'high': 1.0}, measured None"),
        ({"labels": ["a", "c"]}, "validation.labels[1]: the card says b, measured c"),
    ],
)
def test_a_difference_is_named_with_both_figures(changed: dict[str, Any], line: str) -> None:
    assert line in differences(_assessment(), _assessment(**changed))


def test_a_figure_may_be_off_by_the_tolerance() -> None:
    assert differences(_assessment(), _assessment(accuracy=0.904)) == []
    assert differences(_assessment(), _assessment(accuracy=0.904), tolerance=0.001) != []


def test_of_videos_written_anew_one_may_be_answered_otherwise_and_no_more() -> None:
    assert differences(_assessment(), _assessment(darkened={"accuracy": 0.625, "agreement": 0.875})) == []
    two = differences(_assessment(), _assessment(darkened={"accuracy": 0.5833}))
    assert two == ["robustness.changes.darkened.accuracy: the card says 0.6667, measured 0.5833"]
    assert differences(_assessment(), _assessment(darkened={"mean_probability_shift": 0.12})) != []
