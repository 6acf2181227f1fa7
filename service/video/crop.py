"""The part of a stored picture that is shown, as stated by the container. Pure data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Crop:
    """Pixels to remove at each edge of the stored picture."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after cropping; a crop that would leave no pixel is ignored."""
        if not self.fits(width, height):
            return width, height
        return width - self.left - self.right, height - self.top - self.bottom

    def fits(self, width: int, height: int) -> bool:
        """Whether the crop removes some pixels and leaves some."""
        is_any = any((self.left, self.top, self.right, self.bottom))
        return is_any and self.left + self.right < width and self.top + self.bottom < height
