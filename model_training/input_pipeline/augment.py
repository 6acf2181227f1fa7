"""Augmentation: random changes to a training clip, the same for all its frames. Not used in serving."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model_training.config import AugmentConfig

Frames = NDArray[np.uint8]
Bools = NDArray[np.bool_]
_MAX_ERASED_ELONGATION = 3.0


@dataclass(frozen=True, slots=True)
class TrainingClip:
    """A clip for training: `frames` uint8 [T, H, W, 3], `valid` and `is_in_event` bool [T]."""

    frames: Frames
    valid: Bools
    is_in_event: Bools


def augment_clip(clip: TrainingClip, config: AugmentConfig, rng: np.random.Generator) -> TrainingClip:
    """An augmented copy of `clip`, deterministic in the state of `rng`.

    Invalid frames stay zero and last, and at least one frame stays valid.
    """
    frames, valid, is_in_event = _jitter_times(clip, config, rng)
    num_valid = int(valid.sum())
    changed = np.zeros_like(frames)
    pictures = _jitter_colours(_crop_and_flip(frames[:num_valid], config, rng), config, rng)
    changed[:num_valid] = _erase(pictures, config, rng)
    return TrainingClip(changed, valid, is_in_event)


def mix_clips(
    frames: Frames, valid: Bools, targets: NDArray[np.float32], alpha: float, rng: np.random.Generator
) -> tuple[Frames, NDArray[np.float32]]:
    """Mixup: blend each clip of a batch with another one, and the targets float32 [B, K] accordingly.

    `frames` are uint8 [B, T, H, W, 3]. A clip keeps the larger weight, its padding, and its own frames where the
    other clip has none. The targets are mixed by the fraction of the clip's valid pixels that come from each clip.
    """
    partners = rng.permutation(len(frames))
    kept = rng.beta(alpha, alpha, size=len(frames)) if alpha > 0 else np.ones(len(frames))
    kept = np.maximum(kept, 1 - kept)
    mixed = frames.copy()
    fractions = np.zeros(len(frames), np.float32)
    for clip, (partner, weight) in enumerate(zip(partners.tolist(), kept.tolist(), strict=True)):
        both = np.flatnonzero(valid[clip] & valid[partner])
        if partner == clip or len(both) == 0:
            continue
        mixed[clip, both] = _blend(frames[clip, both], frames[partner, both], weight)
        fractions[clip] = (1 - weight) * len(both) / max(int(valid[clip].sum()), 1)
    column = fractions[:, None]
    return mixed, np.asarray(targets * (1 - column) + targets[partners] * column, np.float32)


def _jitter_times(clip: TrainingClip, config: AugmentConfig, rng: np.random.Generator) -> tuple[Frames, Bools, Bools]:
    """Temporal jitter: cut frames off both ends, change the speed, and repeat some frames.

    Frames past the new end are invalid. The event is never cut, so that the label stays true.
    """
    num_frames, num_valid = len(clip.valid), int(clip.valid.sum())
    cut_first, cut_last = (int(n) for n in rng.integers(0, config.max_dropped_frames + 1, size=2))
    is_repeated = rng.uniform(size=num_frames) < config.repeated_frame_probability
    max_log_speed = np.log1p(config.max_speed_change)
    speed = float(np.exp(rng.uniform(-max_log_speed, max_log_speed)))
    event = np.flatnonzero(clip.is_in_event)
    room_first, room_last = (event[0], num_valid - 1 - event[-1]) if len(event) else (num_valid // 4, num_valid // 4)
    order = np.arange(min(cut_first, int(room_first)), num_valid - min(cut_last, int(room_last)))
    order = _change_speed(order, event, speed, num_frames)
    repeated_order = np.where(is_repeated[: len(order)], np.maximum(order - 1, order[0]), order)
    frames, valid, is_in_event = np.zeros_like(clip.frames), np.zeros(num_frames, bool), np.zeros(num_frames, bool)
    frames[: len(order)] = clip.frames[repeated_order]
    valid[: len(order)] = True
    is_in_event[: len(order)] = clip.is_in_event[order]
    return frames, valid, is_in_event


def _change_speed(
    order: NDArray[np.int64], event: NDArray[np.int64], speed: float, num_frames: int
) -> NDArray[np.int64]:
    """`order` at another speed, at most `num_frames` long; unchanged if it would lose every frame of the event."""
    if len(event):
        # At a lower speed less of the clip fits; the speed is raised until the event fits.
        speed = max(speed, (event[-1] + 1 - order[0]) / num_frames)
    num_played = max(1, min(num_frames, round(len(order) / speed)))
    positions = np.minimum((np.arange(num_played) * speed).astype(np.int64), len(order) - 1)
    played: NDArray[np.int64] = order[positions]
    return played if len(event) == 0 or np.isin(event, played).any() else order


def _crop_and_flip(frames: Frames, config: AugmentConfig, rng: np.random.Generator) -> Frames:
    """Random resized crop and random horizontal flip, the same for all frames."""
    height, width = frames.shape[1:3]
    side = np.sqrt(rng.uniform(config.min_crop_area, 1.0))
    aspect = 1 + rng.uniform(-config.max_aspect_change, config.max_aspect_change)
    crop_height = max(1, round(height * min(1.0, side * aspect)))
    crop_width = max(1, round(width * min(1.0, side / aspect)))
    top = int(rng.integers(0, height - crop_height + 1))
    left = int(rng.integers(0, width - crop_width + 1))
    is_mirrored = bool(rng.integers(2)) and config.is_flipped
    if config.min_crop_area < 1:
        crops = frames[:, top : top + crop_height, left : left + crop_width]
        frames = np.stack([cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR) for crop in crops])
    return np.ascontiguousarray(frames[:, :, ::-1]) if is_mirrored else frames


def _jitter_colours(frames: Frames, config: AugmentConfig, rng: np.random.Generator) -> Frames:
    """Colour jitter: brightness, contrast, saturation and hue as one 3 x 4 matrix, applied to every frame."""
    brightness = 255 * rng.uniform(-config.brightness, config.brightness) / 2
    contrast = 1 + rng.uniform(-config.contrast, config.contrast)
    saturation = 1 + rng.uniform(-config.saturation, config.saturation)
    grey = np.full((3, 3), 1 / 3)
    rotation = _hue_matrix(2 * np.pi * rng.uniform(-config.hue, config.hue))
    matrix = contrast * (saturation * rotation + (1 - saturation) * grey)
    offset = brightness + 128 * (1 - contrast)
    if np.allclose(matrix, np.eye(3)) and offset == 0:
        return frames
    flat = frames.reshape(1, -1, 3)
    changed = cv2.transform(flat, np.column_stack([matrix, np.full(3, offset)]))
    return np.asarray(changed, np.uint8).reshape(frames.shape)


def _hue_matrix(angle: float) -> NDArray[np.float64]:
    """The 3 x 3 rotation of colours about the grey axis, `angle` in radians; greys do not change."""
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    grey = np.full((3, 3), 1 / 3)
    rotation: NDArray[np.float64] = np.cos(angle) * np.eye(3) + (1 - np.cos(angle)) * grey + np.sin(angle) * across
    return rotation


def _erase(frames: Frames, config: AugmentConfig, rng: np.random.Generator) -> Frames:
    """Random erasing: with some probability one rectangle of one colour, the same on all frames."""
    is_erased = rng.uniform() < config.erasing_probability
    area = rng.uniform(0, config.max_erased_area)
    elongation = np.exp(rng.uniform(-1, 1) * np.log(_MAX_ERASED_ELONGATION))
    corner, colour = rng.uniform(size=2), rng.integers(0, 256, size=3)
    if not is_erased:
        return frames
    height, width = frames.shape[1:3]
    erased_height = min(height, max(1, int(height * np.sqrt(area * elongation))))
    erased_width = min(width, max(1, int(width * np.sqrt(area / elongation))))
    top, left = int(corner[0] * (height - erased_height + 1)), int(corner[1] * (width - erased_width + 1))
    erased = frames.copy()
    erased[:, top : top + erased_height, left : left + erased_width] = colour
    return erased


def _blend(first: Frames, second: Frames, weight: float) -> Frames:
    blended = cv2.addWeighted(first.reshape(1, -1, 3), weight, second.reshape(1, -1, 3), 1 - weight, 0)
    return np.asarray(blended, np.uint8).reshape(first.shape)
