"""Shapes of synthetic scenes: sprites, their drift, and how they are drawn."""

from dataclasses import dataclass
from math import pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

_SPRITE_SIDE = 96

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pose:
    """Position, size and opacity of a shape at one time; lengths in pixels, `opacity` and `glow` 0..1."""

    x: float
    y: float
    radius: float
    angle_degrees: float
    opacity: float = 1.0
    glow: float = 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A sprite float32 [S, S, 4] (RGB 0..255, alpha 0..1) and the parameters of its drift."""

    sprite: Floats
    radius: float
    centre: tuple[float, float]
    sway: tuple[float, float]
    rates_hertz: tuple[float, float]
    phases: tuple[float, float]
    turn_degrees_per_second: float

    def pose_at(self, seconds: float) -> Pose:
        """The pose of the slow, smooth drift, without any event."""
        return Pose(
            x=self.centre[0] + self.sway[0] * sin(2 * pi * self.rates_hertz[0] * seconds + self.phases[0]),
            y=self.centre[1] + self.sway[1] * sin(2 * pi * self.rates_hertz[1] * seconds + self.phases[1]),
            radius=self.radius,
            angle_degrees=self.phases[0] * 57.3 + self.turn_degrees_per_second * seconds,
        )


def random_shape(rng: np.random.Generator, width: int, height: int, radius: float) -> Shape:
    """A random shape that drifts inside a picture of this size; lengths in pixels."""
    side = min(width, height)
    return Shape(
        sprite=_random_sprite(rng),
        radius=radius,
        centre=(float(rng.uniform(0.25, 0.75)) * width, float(rng.uniform(0.4, 0.75)) * height),
        sway=(float(rng.uniform(0.03, 0.15)) * side, float(rng.uniform(0.02, 0.08)) * side),
        rates_hertz=(float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.05, 0.3))),
        phases=(float(rng.uniform(0, 2 * pi)), float(rng.uniform(0, 2 * pi))),
        turn_degrees_per_second=float(rng.uniform(-20, 20)),
    )


def _random_sprite(rng: np.random.Generator) -> Floats:
    """A striped star, square, triangle or cross in a bright or saturated colour."""
    side, middle = _SPRITE_SIDE, _SPRITE_SIDE / 2
    num_points, inner = [(5, 0.5), (4, 0.72), (3, 0.55), (4, 0.35)][int(rng.integers(4))]
    angles = np.arange(2 * num_points) * pi / num_points
    radii = np.where(np.arange(2 * num_points) % 2 == 0, 1.0, inner) * (middle - 2)
    corners = np.stack([middle + radii * np.cos(angles), middle + radii * np.sin(angles)], axis=1)
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 255, lineType=cv2.LINE_AA)
    columns = np.arange(side, dtype=np.float32)[None, :, None]
    stripes = 0.5 + 0.5 * np.sign(np.sin(columns * float(rng.uniform(0.12, 0.3))))
    first, second = rng.uniform(150, 255, 3), rng.uniform(0, 90, 3)
    first[int(rng.integers(3))] *= 0.2
    sprite = np.empty((side, side, 4), np.float32)
    sprite[..., :3] = stripes * first + (1 - stripes) * second
    sprite[..., 3] = mask / 255.0
    return sprite


def draw_shape(canvas: Floats, sprite: Floats, pose: Pose) -> None:
    """Blend `sprite` into `canvas` float32 [H, W, 3] in place, at `pose`."""
    if pose.opacity <= 0:
        return
    height, width = canvas.shape[:2]
    reach = pose.radius * 1.05 + 1
    left, right = max(int(pose.x - reach), 0), min(int(pose.x + reach) + 2, width)
    top, bottom = max(int(pose.y - reach), 0), min(int(pose.y + reach) + 2, height)
    if left >= right or top >= bottom:
        return
    matrix = cv2.getRotationMatrix2D(
        (_SPRITE_SIDE / 2, _SPRITE_SIDE / 2), pose.angle_degrees, 2 * pose.radius / _SPRITE_SIDE
    )
    matrix[0, 2] += pose.x - _SPRITE_SIDE / 2 - left
    matrix[1, 2] += pose.y - _SPRITE_SIDE / 2 - top
    placed = cv2.warpAffine(sprite, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    alpha = placed[..., 3:] * pose.opacity
    colour = placed[..., :3] + (255 - placed[..., :3]) * pose.glow
    patch = canvas[top:bottom, left:right]
    patch += alpha * (colour - patch)
