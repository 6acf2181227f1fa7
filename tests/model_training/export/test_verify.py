"""Differences between a card and new measurements, and between a model's documents."""

import json
from pathlib import Path
from typing import Any

import pytest

from model_training.config import TrainConfig
from model_training.evaluation.results import Assessment
from model_training.export.card import Card
from model_training.export.card_markdown import card_markdown
from model_training.export.verify import differences, disagreements
from service.inference.manifest import Manifest, read_manifest

MODELS = Path(__file__).parents[3] / "models"

METRICS: dict[str, Any] = {
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
            "validation": METRICS | changed,
            "faithfulness": {"num_clips": 2, "shares": [0, 1], "deletion": CURVE, "insertion": CURVE},
            "robustness": {"num_videos": 24, "clean_accuracy": 1.0, "changes": {"darkened": DARKENED | darkened}},
            "picture_envelope": {"num_clips": 9, "luminance": PERCENTILES, "sharpness": PERCENTILES},
            "baselines": {"majority": SCORE, "metadata": SCORE, "mean_frame": SCORE, "num_videos": 20},
        }
    )


def test_equal_metrics_do_not_differ() -> None:
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
def test_a_difference_is_listed_with_both_values(changed: dict[str, Any], line: str) -> None:
    assert line in differences(_assessment(), _assessment(**changed))


def test_a_metric_may_differ_by_the_tolerance() -> None:
    assert differences(_assessment(), _assessment(accuracy=0.904)) == []
    assert differences(_assessment(), _assessment(accuracy=0.904), tolerance=0.001) != []


def test_one_reencoded_video_may_be_predicted_differently() -> None:
    assert differences(_assessment(), _assessment(darkened={"accuracy": 0.625, "agreement": 0.875})) == []
    two = differences(_assessment(), _assessment(darkened={"accuracy": 0.5833}))
    assert two == ["robustness.changes.darkened.accuracy: the card says 0.6667, measured 0.5833"]
    assert differences(_assessment(), _assessment(darkened={"mean_probability_shift": 0.12})) != []


def _shipped(name: str) -> tuple[Card, str, Manifest]:
    directory = MODELS / name
    card = Card.model_validate_json((directory / "MODEL_CARD.json").read_bytes())
    return card, (directory / "MODEL_CARD.md").read_text(encoding="utf-8"), read_manifest(directory)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", [f"{path.parent.name}/{path.name}" for path in sorted(MODELS.glob("*/*"))])
def test_the_documents_of_the_models_that_ship_agree(name: str) -> None:
    from model_training.evaluation.assessment import apply_assessment  # noqa: PLC0415 - TensorFlow

    card, markdown, manifest = _shipped(name)
    config = TrainConfig.model_validate(manifest.training["config"])
    assert (
        disagreements(card, markdown, manifest, apply_assessment(manifest, config, card.assessment, manifest.files))
        == []
    )


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"abstention_threshold": 0.1}, "abstention_threshold: the card says 0.5854, the manifest 0.1"),
        ({"attention_is_explanation": True}, "attention_is_explanation: the card says False, the manifest True"),
        (
            {"conformal": None},
            "conformal: the card says {'coverage': 0.9, 'least_probability': 0.266466}, the manifest",
        ),
        ({"labels": ("fight", "calm")}, "labels[1]: the card says noFight, the manifest calm"),
        ({"temperature": 9.0}, "the manifest 9.0"),
        ({"metrics": {}}, "metrics.cross_validation: the card says {'folds': [0, 1, 2, 3, 4],"),
    ],
)
def test_a_manifest_that_differs_from_the_card_is_reported(changed: dict[str, Any], line: str) -> None:
    card, markdown, manifest = _shipped("fights/2")
    assert line in "\n".join(disagreements(card, markdown, manifest.model_copy(update=changed), manifest))


def test_a_markdown_card_that_differs_from_the_card_is_reported() -> None:
    card, markdown, manifest = _shipped("fights/2")
    assert disagreements(card, markdown.replace("0.802", "0.902"), manifest, manifest) == [
        "MODEL_CARD.md does not match MODEL_CARD.json; the command `card` writes both again"
    ]


def test_a_record_that_lacks_a_newer_field_agrees_with_its_copy_in_the_manifest() -> None:
    card, _, manifest = _shipped("fights/2")
    older = json.loads(card.to_json())
    del older["cross_validation"]["num_leaks"]
    card = Card.model_validate(older)
    record = {k: v for k, v in manifest.metrics["cross_validation"].items() if k != "num_leaks"}
    manifest = manifest.model_copy(update={"metrics": manifest.metrics | {"cross_validation": record}})
    assert disagreements(card, card_markdown(card), manifest, manifest) == []


def test_a_card_states_which_of_its_metrics_are_not_measured_again() -> None:
    _, with_folds, _ = _shipped("fights/2")
    assert "costs and cross-validation aside" in with_folds
    assert "Cross-validation is of other networks" in with_folds
    card, _, _ = _shipped("events/2")
    without = card_markdown(card.model_copy(update={"cross_validation": None}))
    assert "every figure of this card again, costs aside" in without
    assert "other networks" not in without


def test_a_card_states_the_leaks_that_its_cross_validation_allowed() -> None:
    _, markdown, _ = _shipped("fights/2")
    assert "2 leaks between a held-out fold and the rest were allowed (the same source, scene or copy" in markdown
