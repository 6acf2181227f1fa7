"""Draws scenes in which one shape performs an event at a known time. Writes no files.

A scene has a textured background, a few drifting shapes (the distractors), and one actor that drifts in the same way
except during its event. Camera shake, light drift and sensor noise are added. One random generator determines
everything.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi, sin
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from model_training.synthetic.shapes import Floats, Pose, Shape, draw_shape, random_shape

EventLabel = Literal["vanish", "flash", "spin", "grow", "jump"]
EVENT_LABELS: tuple[EventLabel, ...] = get_args(EventLabel)

_NUM_NOISE_FRAMES = 8

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Scene:
    """The scene of one video; the event fills the half-open interval `[start, end)`."""

    label: EventLabel
    width: int
    height: int
    event_start_seconds: float
    event_end_seconds: float
    background: Floats
    distractors: tuple[Shape, ...]
    actor: Shape
    shake_pixels: float
    noise_level: float
    seed: int

    def frames_at(self, times_seconds: NDArray[np.float64]) -> Iterator[Image]:
        """Yield the frames uint8 [H, W, 3] RGB at these times."""
        rng = np.random.default_rng(self.seed)
        phases = rng.uniform(0, 2 * pi, size=6)
        noise = rng.normal(0, self.noise_level, (_NUM_NOISE_FRAMES, self.height, self.width, 3)).astype(np.float32)
        for seconds in times_seconds:
            canvas = self.background.copy()
            for shape in self.distractors:
                draw_shape(canvas, shape.sprite, shape.pose_at(float(seconds)))
            draw_shape(canvas, self.actor.sprite, self.actor_pose_at(float(seconds)))
            canvas = _shaken(canvas, float(seconds), self.shake_pixels, phases)
            canvas *= 1 + 0.04 * sin(2 * pi * 0.3 * float(seconds) + phases[5])
            canvas += noise[rng.integers(_NUM_NOISE_FRAMES)]
            yield np.clip(canvas, 0, 255).astype(np.uint8)

    def actor_pose_at(self, seconds: float) -> Pose:
        """The actor's pose: its drift, changed by the event."""
        pose = self.actor.pose_at(seconds)
        progress = (seconds - self.event_start_seconds) / (self.event_end_seconds - self.event_start_seconds)
        progress = min(max(progress, 0.0), 1.0)
        return _acted(pose, self.label, progress, self.height)


def _acted(pose: Pose, label: EventLabel, progress: float, height: int) -> Pose:
    """`pose` at `progress` 0..1 of the event; unchanged at 0, and at 1 for all labels but `vanish`."""
    bump = sin(pi * progress)
    match label:
        case "vanish":
            return Pose(pose.x, pose.y, pose.radius, pose.angle_degrees, opacity=1 - progress)
        case "flash":
            return Pose(pose.x, pose.y, pose.radius, pose.angle_degrees, glow=bump)
        case "spin":
            return Pose(pose.x, pose.y, pose.radius, pose.angle_degrees + 360 * progress)
        case "grow":
            return Pose(pose.x, pose.y, pose.radius * (1 + 0.9 * bump), pose.angle_degrees)
        case "jump":
            return Pose(pose.x, pose.y - 0.32 * height * bump, pose.radius, pose.angle_degrees)


def paint_scene(label: EventLabel, width: int, height: int, duration_seconds: float, seed: int) -> Scene:
    """A random scene of this label and size; its event lies well inside `duration_seconds`."""
    rng = np.random.default_rng(seed)
    side = float(min(width, height))
    event_seconds = float(rng.uniform(0.6, 0.9)) * min(1.0, duration_seconds / 2.5)
    margin_seconds = 0.12 * duration_seconds
    start_seconds = float(rng.uniform(margin_seconds, duration_seconds - margin_seconds - event_seconds))
    actor = random_shape(rng, width, height, side * float(rng.uniform(0.14, 0.2)))
    num_distractors = int(rng.integers(1, 4))
    return Scene(
        label=label,
        width=width,
        height=height,
        event_start_seconds=round(start_seconds, 3),
        event_end_seconds=round(start_seconds + event_seconds, 3),
        background=_random_background(rng, width, height),
        distractors=tuple(
            random_shape(rng, width, height, side * float(rng.uniform(0.06, 0.15))) for _ in range(num_distractors)
        ),
        actor=actor,
        shake_pixels=float(rng.uniform(0.0, 0.012)) * side,
        noise_level=float(rng.uniform(1.0, 8.0)),
        seed=int(rng.integers(2**31)),
    )


def _random_background(rng: np.random.Generator, width: int, height: int) -> Floats:
    coarse = rng.uniform(-35, 35, (6, 8, 3)).astype(np.float32)
    fine = rng.uniform(-14, 14, (24, 32, 1)).astype(np.float32)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = cv2.resize(fine, (width, height), interpolation=cv2.INTER_LINEAR)
    level = rng.uniform(60, 130, size=3)
    return np.asarray(np.clip(picture + grain[..., None] + level, 0, 255), np.float32)


def _shaken(canvas: Floats, seconds: float, shake_pixels: float, phases: NDArray[np.float64]) -> Floats:
    """`canvas` shifted by camera shake."""
    dx = shake_pixels * (sin(2 * pi * 1.3 * seconds + phases[0]) + 0.5 * sin(2 * pi * 3.1 * seconds + phases[1]))
    dy = shake_pixels * (sin(2 * pi * 1.7 * seconds + phases[2]) + 0.5 * sin(2 * pi * 2.9 * seconds + phases[3]))
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    height, width = canvas.shape[:2]
    moved = cv2.warpAffine(canvas, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.float32)
