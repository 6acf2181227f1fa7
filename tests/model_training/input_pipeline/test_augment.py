"""Augmentation changes frames and keeps padding, events and targets consistent."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_training.config import AugmentConfig
from model_training.input_pipeline.augment import TrainingClip, augment_clip, mix_clips

OFF = AugmentConfig(
    min_crop_area=1,
    max_aspect_change=0,
    is_flipped=False,
    brightness=0,
    contrast=0,
    saturation=0,
    max_dropped_frames=0,
    repeated_frame_probability=0,
)
# Each augmentation alone at nearly full strength, and all together.
PARTS: dict[str, dict[str, Any]] = {
    "crop": {"min_crop_area": 0.05, "max_aspect_change": 0.9},
    "flip": {"is_flipped": True},
    "colour": {"brightness": 0.9, "contrast": 0.9, "saturation": 1, "hue": 0.5},
    "times": {"max_dropped_frames": 9, "repeated_frame_probability": 0.9},
    "speed": {"max_speed_change": 0.9},
    "erasing": {"erasing_probability": 1, "max_erased_area": 0.5},
}
ALL = {name: value for part in PARTS.values() for name, value in part.items()}
CONFIGS = [OFF.model_copy(update=part) for part in (*PARTS.values(), ALL)]


def _clip(num_valid: int = 9, event: tuple[int, int] = (4, 6)) -> TrainingClip:
    rng = np.random.default_rng(0)
    positions = np.arange(12)
    valid = positions < num_valid
    frames = rng.integers(0, 256, (12, 24, 32, 3), dtype=np.uint8) * valid[:, None, None, None].astype(np.uint8)
    return TrainingClip(frames, valid, (positions >= event[0]) & (positions < event[1]))


def _augmented(clip: TrainingClip, config: AugmentConfig, seed: int) -> TrainingClip:
    return augment_clip(clip, config, np.random.default_rng(seed))


def test_disabled_augmentation_changes_nothing() -> None:
    clip = _clip()
    same = _augmented(clip, OFF, 1)
    np.testing.assert_array_equal(same.frames, clip.frames)
    np.testing.assert_array_equal(same.valid, clip.valid)
    np.testing.assert_array_equal(same.is_in_event, clip.is_in_event)


@pytest.mark.parametrize("part", PARTS)
def test_each_augmentation_alone_changes_frames(part: str) -> None:
    config = OFF.model_copy(update=PARTS[part])
    changed = [_augmented(_clip(), config, seed).frames for seed in range(8)]
    assert any(not np.array_equal(frames, _clip().frames) for frames in changed)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(CONFIGS), st.integers(1, 12))
def test_padding_stays_black_and_last_and_a_frame_stays_valid(seed: int, config: AugmentConfig, num_valid: int) -> None:
    changed = _augmented(_clip(num_valid, event=(0, 0)), config, seed)
    assert changed.frames.shape == (12, 24, 32, 3)
    assert changed.frames.dtype == np.uint8
    assert changed.valid.any()
    assert not (~changed.valid[:-1] & changed.valid[1:]).any()
    assert not changed.frames[~changed.valid].any()
    assert not changed.is_in_event[~changed.valid].any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(CONFIGS), st.integers(0, 8), st.integers(1, 4))
def test_part_of_the_event_always_remains(seed: int, config: AugmentConfig, start: int, length: int) -> None:
    event = (start, min(start + length, 9))
    assert _augmented(_clip(event=event), config, seed).is_in_event.any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(CONFIGS))
def test_all_frames_of_a_clip_get_the_same_change(seed: int, config: AugmentConfig) -> None:
    still = TrainingClip(np.repeat(_clip().frames[:1], 6, axis=0), np.ones(6, bool), np.zeros(6, bool))
    changed = _augmented(still, config, seed)
    num_valid = int(changed.valid.sum())
    np.testing.assert_array_equal(changed.frames[:num_valid], np.repeat(changed.frames[:1], num_valid, axis=0))


@given(st.integers(0, 2**32), st.sampled_from(CONFIGS))
@settings(max_examples=20, deadline=None)
def test_same_seed_gives_the_same_augmentation(seed: int, config: AugmentConfig) -> None:
    first, second = (_augmented(_clip(), config, seed) for _ in range(2))
    np.testing.assert_array_equal(first.frames, second.frames)


def test_higher_speed_shows_fewer_frames_and_lower_speed_repeats_frames() -> None:
    levels = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    clip = TrainingClip(levels, np.ones(12, bool), np.zeros(12, bool))
    config = OFF.model_copy(update={"max_speed_change": 0.5})
    seen = set()
    for seed in range(20):
        changed = _augmented(clip, config, seed)
        shown = changed.frames[changed.valid][:, 0, 0, 0].tolist()
        assert shown == sorted(shown)
        assert 8 <= len(shown) <= 12
        seen.add("slower" if len(set(shown)) < len(shown) else "faster" if len(shown) < 12 else "same")
    assert {"slower", "faster"} <= seen


def _batch(*num_valid: int) -> tuple[Any, Any, Any]:
    clips = [_clip(count) for count in num_valid]
    frames = np.stack([np.roll(clip.frames, i, axis=2) for i, clip in enumerate(clips)])
    targets = np.eye(len(clips), dtype=np.float32)
    return frames, np.stack([clip.valid for clip in clips]), targets


def test_mixup_with_alpha_zero_changes_nothing() -> None:
    frames, valid, targets = _batch(9, 5, 12)
    mixed, mixed_targets = mix_clips(frames, valid, targets, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(mixed, frames)
    np.testing.assert_array_equal(mixed_targets, targets)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_mixup_targets_equal_the_fractions_of_mixed_pixels(seed: int, num_valid: list[int]) -> None:
    frames, valid, targets = _batch(*num_valid)
    mixed, mixed_targets = mix_clips(frames, valid, targets, 0.8, np.random.default_rng(seed))
    np.testing.assert_allclose(mixed_targets.sum(axis=1), 1, rtol=1e-5)
    assert (np.diag(mixed_targets) >= 0.5 - 1e-6).all()
    assert not mixed[~valid].any()
    for clip, row in enumerate(mixed_targets):
        partner = int(np.argmax(np.where(np.arange(len(row)) == clip, -1, row)))
        both = valid[clip] & valid[partner]
        fraction = row[partner] * valid[clip].sum() / max(both.sum(), 1) if row[partner] > 0 else 0.0
        expected = frames[clip, both] * (1 - fraction) + frames[partner, both] * fraction
        np.testing.assert_allclose(mixed[clip, both], expected, atol=1.01)
        only = valid[clip] & ~both
        np.testing.assert_array_equal(mixed[clip, only], frames[clip, only])
