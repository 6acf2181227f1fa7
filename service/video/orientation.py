"""How a stored picture is turned and mirrored to be shown. Pure data and arithmetic."""

import math
from dataclasses import dataclass
from typing import Self

Matrix = tuple[float, float, float, float]
"""(a, b, c, d): moves the point (p, q), q downwards, to (ap + cq, bp + dq), at any scale."""

IDENTITY: Matrix = (1, 0, 0, 1)

_MAX_DEGREES_OFF = 1.0
"""A matrix that is off a quarter turn by more than this is not applied: pictures keep their edges."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to show a rectangle: mirrored left to right first, then turned clockwise.

    `rotation_degrees` is 0, 90, 180 or 270.
    """

    is_mirrored: bool = False
    rotation_degrees: int = 0

    @classmethod
    def turned(cls, degrees: float, *, is_mirrored: bool = False) -> Self:
        """The orientation nearest to a clockwise turn by `degrees`; upright where none of the eight is near."""
        quarter = round(degrees / 90) if math.isfinite(degrees) else 0
        is_near = abs(degrees - 90 * quarter) <= _MAX_DEGREES_OFF
        return cls(is_mirrored, 90 * (quarter % 4)) if is_near else cls()

    @classmethod
    def from_matrix(cls, matrix: Matrix) -> Self:
        """The orientation that `matrix` describes; upright where it describes none of the eight."""
        a, b, c, d = matrix
        determinant = a * d - b * c
        if not determinant:
            return cls()
        is_mirrored = determinant < 0
        # Mirroring comes first, so it changes the sign of where the left-right axis is moved to.
        sign = -1 if is_mirrored else 1
        return cls.turned(math.degrees(math.atan2(sign * b, sign * a)), is_mirrored=is_mirrored)

    @property
    def is_sideways(self) -> bool:
        """Whether width and height change places."""
        return self.rotation_degrees % 180 == 90  # noqa: PLR2004 - a quarter turn


def multiplied(first: Matrix, second: Matrix) -> Matrix:
    """The matrix that moves a point as `first` does, and then as `second` does."""
    a, b, c, d = first
    e, f, g, h = second
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h
