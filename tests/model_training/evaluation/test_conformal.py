"""Label sets reach their target coverage."""

import numpy as np
from numpy.typing import NDArray

from model_training.evaluation.conformal import fit_label_sets, label_set_metrics


def _videos(rng: np.random.Generator, num_videos: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Predictions that are often wrong and overconfident."""
    truths = rng.integers(0, 5, num_videos)
    logits = rng.normal(size=(num_videos, 5))
    logits[np.arange(num_videos), truths] += 1
    odds = np.exp(4 * logits)
    return odds / odds.sum(axis=1, keepdims=True), truths


def test_an_overconfident_model_keeps_the_coverage_on_average() -> None:
    coverages = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        fitted = fit_label_sets(*_videos(rng, 60), 0.9)
        coverages.append(label_set_metrics(*_videos(rng, 400), fitted).coverage)
    assert 0.9 <= np.mean(coverages) < 0.95


def test_a_set_is_never_empty() -> None:
    probabilities, truths = np.array([[0.4, 0.35, 0.25]]), np.array([1])
    sure = fit_label_sets(np.full((20, 3), [0.9, 0.05, 0.05]), np.zeros(20, np.int64), 0.9)
    assert sure.holds(probabilities).tolist() == [[True, False, False]]
    assert label_set_metrics(probabilities, truths, sure).mean_size == 1


def test_with_too_few_videos_every_label_is_in_every_set() -> None:
    fitted = fit_label_sets(np.array([[0.9, 0.1]] * 8), np.zeros(8, np.int64), 0.9)
    assert fitted.least_probability == 0
    assert fitted.holds(np.array([0.999, 0.001])).all()


def test_equal_probabilities_are_in_the_set_together() -> None:
    fitted = fit_label_sets(np.array([[0.5, 0.5]] * 20), np.zeros(20, np.int64), 0.9)
    assert fitted.holds(np.array([0.5, 0.5])).all()
