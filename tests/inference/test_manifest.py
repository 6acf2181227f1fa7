"""How the probabilities of clips are combined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from service.inference.manifest import combine_clips

CLIPS = npst.arrays(
    np.float32, st.tuples(st.integers(1, 6), st.integers(2, 5)), elements=st.floats(0.0078125, 1, width=32)
).map(lambda raw: (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32))


def test_mean_averages_the_clips() -> None:
    clips = np.array([[0.25, 0.75], [0.75, 0.25], [0.5, 0.5]], dtype=np.float32)
    assert combine_clips(clips, "mean").tolist() == [0.5, 0.5]


def test_max_takes_each_labels_highest_clip_and_normalises() -> None:
    clips = np.array([[0.75, 0.25], [0.75, 0.25], [0.0, 1.0]], dtype=np.float32)
    assert combine_clips(clips, "max") == pytest.approx([0.75 / 1.75, 1 / 1.75])


def test_independent_labels_are_not_normalised() -> None:
    clips = np.array([[0.75, 0.1], [0.2, 0.9]], dtype=np.float32)
    assert combine_clips(clips, "max", sums_to_one=False) == pytest.approx([0.75, 0.9])
    assert combine_clips(clips, "mean", sums_to_one=False) == pytest.approx([0.475, 0.5])


@given(CLIPS)
def test_combined_probabilities_sum_to_one_and_a_single_clip_is_unchanged(clips: np.ndarray) -> None:
    for how in ("mean", "max"):
        combined = combine_clips(clips, how)
        assert combined.sum() == pytest.approx(1, abs=1e-5)
    assert combine_clips(clips[:1], "mean") == pytest.approx(clips[0])
