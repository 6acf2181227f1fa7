"""The part of a coded picture that a container says is to be shown. Pure data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Crop:
    """How many pixels are cut off at each edge of the stored picture."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of what is left; a cropping that leaves nothing is none."""
        if not self.fits(width, height):
            return width, height
        return width - self.left - self.right, height - self.top - self.bottom

    def fits(self, width: int, height: int) -> bool:
        """Whether anything is cut off, and something left."""
        is_any = any((self.left, self.top, self.right, self.bottom))
        return is_any and self.left + self.right < width and self.top + self.bottom < height
