"""Order and content of batches depend on the seed only, at whichever step an epoch is entered."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_training.config import AugmentConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.decoding import decode_examples
from model_training.datasets.examples import read_examples
from model_training.datasets.labels import multi_hot_targets
from model_training.errors import TrainingDataError
from model_training.input_pipeline.sampling import epoch_order
from service.video.clip import ClipSpec

SPEC = ClipSpec(num_frames=6, height=24, width=32, frames_per_second=2, stride_seconds=2)
LABELS = ("a", "b", "c")


def _targets(*counts: int) -> Any:
    return multi_hot_targets([(label,) for label, n in zip(LABELS, counts, strict=False) for _ in range(n)], LABELS)


def test_targets_are_1_for_each_label_of_a_clip() -> None:
    np.testing.assert_array_equal(
        multi_hot_targets([("b",), ("a", "c"), ()], LABELS), [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    )


@given(st.lists(st.integers(1, 9), min_size=3, max_size=3), st.integers(0, 99))
def test_shuffled_epoch_contains_every_clip_once(counts: list[int], epoch: int) -> None:
    order = epoch_order(_targets(*counts), (3,), epoch, "shuffled")
    assert sorted(order) == list(range(sum(counts)))


@given(st.lists(st.integers(1, 30), min_size=3, max_size=3), st.integers(0, 99))
def test_balanced_epoch_contains_labels_and_their_clips_equally_often(counts: list[int], epoch: int) -> None:
    targets = _targets(*counts)
    order = epoch_order(targets, (3,), epoch, "balanced")
    drawn_labels = np.bincount(targets[order].argmax(axis=1), minlength=3)
    assert len(order) == sum(counts)
    assert drawn_labels.max() - drawn_labels.min() <= 1
    for label in range(3):
        times = np.bincount(order, minlength=len(targets))[targets[:, label] > 0]
        assert times.max() - times.min() <= 1


def test_clip_with_several_labels_counts_for_its_rarest() -> None:
    targets = multi_hot_targets([("a",)] * 8 + [("a", "b")], LABELS)
    order = epoch_order(targets, (0,), 0, "balanced")
    assert 4 <= np.count_nonzero(order == 8) <= 5


@pytest.fixture(scope="module")
def clips(painted_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[CachedClip]:
    """The first clips of five painted videos."""
    decoding = decode_examples(read_examples(painted_dataset)[:5], SPEC, tmp_path_factory.mktemp("cache"))
    return [video.clips[0] for video in decoding.videos]


def _dataset(clips: list[CachedClip], **augment: Any) -> Any:
    from model_training.input_pipeline.pixel_dataset import PixelDataset

    labels = sorted({label for clip in clips for label in clip.example.labels})
    targets = multi_hot_targets([clip.example.labels for clip in clips], labels)
    return PixelDataset(clips, targets, AugmentConfig(erasing_probability=0.5, **augment), (7,), "balanced")


def _assert_same(first: Iterator[Any], second: Iterator[Any]) -> None:
    for one, other in zip(first, second, strict=True):
        for name in ("inputs", "valid", "targets", "is_in_event"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.tensorflow
def test_epoch_entered_midway_yields_the_same_remaining_batches(clips: list[CachedClip]) -> None:
    dataset = _dataset(clips, mixup_alpha=0.4)
    whole = list(dataset.batches(3, 2))
    assert sum(len(batch.targets) for batch in whole) == len(clips)
    for first_step in range(len(whole) + 1):
        _assert_same(iter(whole[first_step:]), dataset.batches(3, 2, first_step))
    assert not np.array_equal(whole[0].inputs, next(dataset.batches(4, 2)).inputs)


@pytest.mark.tensorflow
def test_without_epoch_clips_come_in_order_and_unaugmented(clips: list[CachedClip]) -> None:
    batches = list(_dataset(clips, mixup_alpha=0.4).batches(None, 2))
    np.testing.assert_array_equal(
        np.concatenate([batch.inputs for batch in batches]), np.stack([clip.frames() for clip in clips])
    )
    assert set(np.concatenate([batch.targets for batch in batches]).ravel()) == {0.0, 1.0}


@pytest.mark.tensorflow
def test_feature_view_holds_every_clip_in_order_and_is_cached(clips: list[CachedClip], tmp_path: Path) -> None:
    from model_training.input_pipeline.feature_dataset import feature_view

    def mean_colours(frames: Any, _valid: Any) -> Any:
        return frames.mean(axis=(2, 3), dtype=np.float32)

    done: list[int] = []
    dataset, path = _dataset(clips), tmp_path / "view.npz"
    view = feature_view(dataset, None, mean_colours, path, done.append)
    np.testing.assert_array_equal(view.inputs, np.stack([mean_colours(clip.frames()[None], None)[0] for clip in clips]))
    np.testing.assert_array_equal(view.targets, dataset.targets)
    augmented = feature_view(dataset, 1, mean_colours, tmp_path / "other.npz", done.append)
    np.testing.assert_array_equal(augmented.targets, dataset.targets)
    again = feature_view(dataset, None, lambda *_: pytest.fail("computed again"), path, done.append)
    _assert_same(iter([view]), iter([again]))
    assert sum(done) == 3 * len(clips)


@pytest.mark.tensorflow
def test_clip_missing_from_the_cache_is_an_error_of_one_sentence(clips: list[CachedClip], tmp_path: Path) -> None:
    import dataclasses

    lost = dataclasses.replace(clips[0], cache_file=tmp_path / "lost.npz")
    with pytest.raises(TrainingDataError, match=r"cannot be read from the cache: .*lost\.npz") as caught:
        list(_dataset([lost, *clips[1:]]).batches(None, 2))
    assert "\n" not in str(caught.value)
