"""Losses, schedules and calibration against hand-computed values."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

import numpy as np
import pytest

from model_training.config import LossConfig, OptimiserConfig
from model_training.evaluation.calibration import abstention_threshold, fit_temperature


def test_temperature_corrects_overconfident_and_underconfident_logits() -> None:
    labels = np.random.default_rng(0).integers(0, 2, 4000)
    is_right = np.random.default_rng(1).uniform(size=4000) < 0.8
    sign = np.where(is_right == (labels == 1), 1.0, -1.0)
    true_logit = np.log(0.8 / 0.2)
    for scale in (0.5, 3.0):
        logits = np.stack([np.zeros(4000), scale * true_logit * sign], axis=1).astype(np.float32)
        assert fit_temperature(logits, np.eye(2, dtype=np.float32)[labels], "softmax") == pytest.approx(scale, rel=0.1)


def test_abstention_threshold_reaches_the_requested_coverage() -> None:
    top = np.linspace(0.5, 1.0, 101)
    probabilities = np.stack([top, 1 - top], axis=1)
    threshold = abstention_threshold(probabilities, 0.9)
    assert (top >= threshold).mean() == pytest.approx(0.9, abs=0.02)


@pytest.mark.tensorflow
def test_learning_rate_warms_up_then_decays() -> None:
    from model_training.training.optimisers import learning_rate_at

    cosine = [learning_rate_at(i, 100, 1.0, OptimiserConfig(decay="cosine", warmup_fraction=0.1)) for i in range(100)]
    assert cosine[:10] == sorted(cosine[:10])
    assert cosine[10] == 1.0
    assert cosine[10:] == sorted(cosine[10:], reverse=True)
    assert cosine[-1] < 0.01
    config = OptimiserConfig(decay="step", warmup_fraction=0, step_decay_factor=0.1, num_step_decays=1)
    assert [learning_rate_at(i, 10, 1.0, config) for i in (0, 4, 5, 9)] == pytest.approx([1, 1, 0.1, 0.1])
    flat = OptimiserConfig(decay="none", warmup_fraction=0)
    assert learning_rate_at(99, 100, 0.5, flat) == 0.5


@pytest.mark.tensorflow
def test_softmax_losses_equal_hand_computed_values() -> None:
    from model_training.training.losses import clip_losses, label_weights

    logits = np.log(np.array([[0.8, 0.2]], np.float32))
    attention = np.array([[0.25, 0.75]], np.float32)
    inside = np.array([[False, True]])
    ones = np.ones(2, np.float32)

    def loss(config: LossConfig, weights: object = ones) -> float:
        targets = np.array([[1, 0]], np.float32)
        return float(clip_losses((logits, attention), targets, inside, weights, config=config, kind="softmax")[0])

    plain = LossConfig(label_smoothing=0)
    assert loss(plain) == pytest.approx(-np.log(0.8), rel=1e-5)
    assert loss(plain, np.array([3, 1], np.float32)) == pytest.approx(-3 * np.log(0.8), rel=1e-5)
    focal = LossConfig(kind="focal", label_smoothing=0, focal_gamma=2)
    assert loss(focal) == pytest.approx(-0.04 * np.log(0.8), rel=1e-4)
    smooth = LossConfig(label_smoothing=0.2)
    assert loss(smooth) == pytest.approx(-0.9 * np.log(0.8) - 0.1 * np.log(0.2), rel=1e-5)
    with_attention = LossConfig(label_smoothing=0, attention_weight=0.5)
    assert loss(with_attention) == pytest.approx(-np.log(0.8) - 0.5 * np.log(0.75), rel=1e-5)
    three_to_one = np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]
    np.testing.assert_allclose(label_weights(three_to_one, "softmax", plain), [2 / 3, 2])


@pytest.mark.tensorflow
def test_multi_label_losses_equal_hand_computed_values() -> None:
    from model_training.training.losses import clip_losses, correct_predictions, label_weights

    # Probabilities 0.8 and 0.4 for two present labels, and 0.1 for an absent one.
    logits = np.log(np.array([[0.8, 0.4, 0.1]], np.float32) / np.array([[0.2, 0.6, 0.9]], np.float32))
    targets, nowhere = np.array([[1, 1, 0]], np.float32), np.zeros((1, 2), bool)

    def loss(config: LossConfig, weights: tuple[float, ...] = (1, 1, 1)) -> float:
        outputs = (logits, np.ones((1, 2), np.float32) / 2)
        given = np.array(weights, np.float32)
        return float(clip_losses(outputs, targets, nowhere, given, config=config, kind="multi_label")[0])

    plain = LossConfig(label_smoothing=0)
    parts = -np.log([0.8, 0.4, 0.9])
    assert loss(plain) == pytest.approx(parts.mean(), rel=1e-5)
    assert loss(plain, (3, 1, 5)) == pytest.approx((parts * [3, 1, 1]).mean(), rel=1e-5)
    focal = LossConfig(kind="focal", label_smoothing=0, focal_gamma=2)
    assert loss(focal) == pytest.approx((parts * [0.04, 0.36, 0.01]).mean(), rel=1e-4)
    assert float(correct_predictions(logits, targets, "multi_label")[0]) == 0
    assert float(correct_predictions(-logits, 1 - targets, "multi_label")[0]) == 0
    assert float(correct_predictions(logits, np.array([[1, 0, 0]], np.float32), "multi_label")[0]) == 1
    three_of_four = np.array([[1, 0], [1, 0], [1, 0], [0, 0]], np.float32)
    np.testing.assert_allclose(label_weights(three_of_four, "multi_label", plain), [1 / 3, 3])


@pytest.mark.tensorflow
def test_gradients_are_clipped_by_their_global_norm() -> None:
    from model_training.training.optimisers import clipped_gradients

    gradients = [np.array([3.0], np.float32), np.array([[4.0]], np.float32)]
    for limit, expected in ((1.0, [0.6, 0.8]), (10.0, [3, 4]), (None, [3, 4])):
        found = [float(np.array(one).sum()) for one in clipped_gradients(gradients, limit)]
        assert found == pytest.approx(expected)


@pytest.mark.tensorflow
def test_pruning_zeroes_the_smallest_parameters_and_ramps_up_by_half_way() -> None:
    from model_training.training.pruning import pruned, pruned_fraction_at

    kernel = np.array([[0.1, -5.0], [0.2, 3.0]], np.float32)
    np.testing.assert_array_equal(np.array(pruned(kernel, 0.5)), [[0, -5], [0, 3]])
    np.testing.assert_array_equal(np.array(pruned(kernel, 0.0)), kernel)
    fractions = [pruned_fraction_at(step, 10, 0.8) for step in range(10)]
    assert fractions == sorted(fractions)
    assert fractions[:2] == pytest.approx([0.8 * (1 - 0.8**3), 0.8 * (1 - 0.6**3)])
    assert fractions[4:] == [0.8] * 6


@pytest.mark.tensorflow
def test_ema_decay_is_lower_at_first() -> None:
    from model_training.training.optimisers import ema_decay_at

    config = OptimiserConfig(ema_decay=0.9)
    assert [ema_decay_at(step, config) for step in (0, 8, 1000)] == pytest.approx([0.1, 0.5, 0.9])
    assert ema_decay_at(5, OptimiserConfig()) == 0


@pytest.mark.tensorflow
@pytest.mark.parametrize(("weight_decay", "expected"), [(0.0, (0.7, 0.35)), (0.5, (0.65, 0.2675))])
def test_sgd_steps_equal_hand_computed_values(weight_decay: float, expected: tuple[float, float]) -> None:
    """Nesterov momentum: a step is the gradient plus the momentum times the updated velocity."""
    import keras

    from model_training.training.optimisers import build_optimiser

    optimiser = build_optimiser(OptimiserConfig(kind="sgd", momentum=0.5, weight_decay=weight_decay))
    weight = keras.Variable(1.0)
    optimiser.build([weight])
    optimiser.learning_rate = 0.1
    found = []
    for _ in expected:
        optimiser.apply([keras.ops.convert_to_tensor(2.0)], [weight])
        found.append(float(weight.value))
    assert found == pytest.approx(expected)
