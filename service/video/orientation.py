"""Rotation and mirroring of a stored picture. Pure data and arithmetic."""

import math
from dataclasses import dataclass
from typing import Self

Matrix = tuple[float, float, float, float]
"""(a, b, c, d) maps the point (p, q), q downwards, to (ap + cq, bp + dq), at any scale."""

IDENTITY: Matrix = (1, 0, 0, 1)

_MAX_DEGREES_OFF = 1.0
"""A rotation further from a quarter turn is not applied."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight orientations of a rectangle: first mirrored left to right, then rotated clockwise.

    `rotation_degrees` is 0, 90, 180 or 270.
    """

    is_mirrored: bool = False
    rotation_degrees: int = 0

    @classmethod
    def turned(cls, degrees: float, *, is_mirrored: bool = False) -> Self:
        """The orientation nearest to a clockwise rotation by `degrees`; upright if no quarter turn is near."""
        quarter = round(degrees / 90) if math.isfinite(degrees) else 0
        is_near = abs(degrees - 90 * quarter) <= _MAX_DEGREES_OFF
        return cls(is_mirrored, 90 * (quarter % 4)) if is_near else cls()

    @classmethod
    def from_matrix(cls, matrix: Matrix) -> Self:
        """The orientation that `matrix` describes; upright if it describes none of the eight."""
        a, b, c, d = matrix
        determinant = a * d - b * c
        if not determinant:
            return cls()
        is_mirrored = determinant < 0
        # Mirroring comes first, so it flips the sign of the image of the horizontal axis.
        sign = -1 if is_mirrored else 1
        return cls.turned(math.degrees(math.atan2(sign * b, sign * a)), is_mirrored=is_mirrored)

    @property
    def is_sideways(self) -> bool:
        """Whether width and height are swapped."""
        return self.rotation_degrees % 180 == 90  # noqa: PLR2004 - a quarter turn


def matrix_product(first: Matrix, second: Matrix) -> Matrix:
    """The matrix that applies `first`, then `second`."""
    a, b, c, d = first
    e, f, g, h = second
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h
