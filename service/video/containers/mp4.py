"""Reads orientation, clean aperture and encryption from the header of an MP4 or QuickTime file.

FFmpeg does not report the clean aperture. Reads only the boxes needed (ISO/IEC 14496-12).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

from service.video.crop import Crop
from service.video.orientation import IDENTITY, Matrix, Orientation, matrix_product

_MAX_BOXES = 20_000
_VISUAL_SAMPLE_ENTRY_BYTES = 78
_SAMPLE_DESCRIPTION_HEADER_BYTES = 8
_WIDTH_OFFSET = 24
_PICTURE_HANDLER = b"pict"


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Mp4Track:
    """Crop and orientation of one track, and whether its samples are encrypted."""

    crop: Crop = field(default_factory=Crop)
    orientation: Orientation = field(default_factory=Orientation)
    is_encrypted: bool = False


def mp4_tracks(path: Path) -> dict[int, Mp4Track]:
    """Read the tracks of the file at `path`, by track number; empty if it cannot be read as MP4."""
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        boxes = _Boxes(file)
        movie = boxes.first(b"moov", _Box(b"", 0, num_bytes))
        return dict(boxes.tracks(movie)) if movie is not None else {}


def holds_images(path: Path) -> bool:
    """Whether the file at `path` is an image file (HEIF, ISO/IEC 23008-12), whatever brand it states.

    Its images are items of a `meta` box outside the movie, as which FFmpeg also opens files without a movie.
    """
    whole = _Box(b"", 0, path.stat().st_size)
    with path.open("rb") as file:
        boxes = _Boxes(file)
        if boxes.first(b"moov", whole) is None:
            return True
        items = boxes.first(b"meta", whole)
        return items is not None and boxes.handler(items) == _PICTURE_HANDLER


class _Boxes:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._num_left = _MAX_BOXES

    def first(self, kind: bytes, inside: _Box | None) -> _Box | None:
        """The first box of `kind` directly inside another box; None if there is none."""
        if inside is None:
            return None
        return next((box for box in self._within(inside) if box.kind == kind), None)

    def handler(self, items: _Box) -> bytes:
        """The handler type of a `meta` box; empty if it states none."""
        # A version and flags precede the boxes inside.
        handler = self.first(b"hdlr", items._replace(start=items.start + 4))
        return b"" if handler is None else self._bytes(handler.start + 8, 4)

    def tracks(self, movie: _Box) -> Iterator[tuple[int, Mp4Track]]:
        """Yield number and properties of each track of a movie box."""
        header = self.first(b"mvhd", movie)
        of_movie = IDENTITY if header is None else self._movie_matrix(header)
        for track in self._within(movie):
            header = self.first(b"tkhd", track) if track.kind == b"trak" else None
            if header is None:
                continue
            number, of_track = self._track_number_and_matrix(header)
            samples = self.first(b"stbl", self.first(b"minf", self.first(b"mdia", track)))
            entry = self._first_sample_entry(self.first(b"stsd", samples))
            crop = None if entry is None else self._clean_aperture(entry)
            orientation = Orientation.from_matrix(matrix_product(of_track, of_movie))
            yield number, Mp4Track(crop or Crop(), orientation, entry is not None and entry.kind == b"encv")

    def _movie_matrix(self, header: _Box) -> Matrix:
        """The matrix in a movie header box."""
        # Version 1 has 64-bit times before the matrix.
        return self._matrix(header.start + (48 if self._bytes(header.start, 1) == b"\1" else 36))

    def _track_number_and_matrix(self, header: _Box) -> tuple[int, Matrix]:
        """The number and the matrix in a track header box."""
        is_long = self._bytes(header.start, 1) == b"\1"
        number = int.from_bytes(self._bytes(header.start + (20 if is_long else 12), 4))
        return number, self._matrix(header.start + (52 if is_long else 40))

    def _matrix(self, position: int) -> Matrix:
        values = self._bytes(position, 20)
        if len(values) < 20:  # noqa: PLR2004 - a, b, u, c, d
            return IDENTITY
        a, b, _, c, d = struct.unpack(">5i", values)
        return a, b, c, d

    def _first_sample_entry(self, description: _Box | None) -> _Box | None:
        if description is None:
            return None
        entries = description._replace(start=description.start + _SAMPLE_DESCRIPTION_HEADER_BYTES)
        return next(self._within(entries), None)

    def _clean_aperture(self, entry: _Box) -> Crop | None:
        """The crop of a sample entry; None if it has no clean aperture."""
        aperture = self.first(b"clap", entry._replace(start=entry.start + _VISUAL_SAMPLE_ENTRY_BYTES))
        if aperture is None:
            return None
        values, size = self._bytes(aperture.start, 32), self._bytes(entry.start + _WIDTH_OFFSET, 4)
        if len(values) < 32 or len(size) < 4:  # noqa: PLR2004 - eight numbers; width and height
            return None
        return _crop(struct.unpack(">IIIIiIiI", values), *struct.unpack(">HH", size))

    def _within(self, outer: _Box) -> Iterator[_Box]:
        position, end = outer.start, outer.end
        while position + 8 <= end and self._num_left:
            self._num_left -= 1
            header = self._bytes(position, 16)
            if len(header) < 8:  # noqa: PLR2004 - size and kind
                return
            size, content = int.from_bytes(header[:4]), position + 8
            if size == 1:
                size, content = int.from_bytes(header[8:16]), position + 16
            elif size == 0:
                size = end - position
            if position + size < content:
                return
            yield _Box(header[4:8], content, min(position + size, end))
            position += size

    def _bytes(self, position: int, num_bytes: int) -> bytes:
        self._file.seek(position)
        return self._file.read(num_bytes)


def _crop(values: tuple[int, ...], width: int, height: int) -> Crop | None:
    """Convert an aperture (fractions for size and centre offset) to a crop in pixels (ISO/IEC 14496-12, 12.1.4)."""
    if not all(values[1::2]):
        return None
    shown_width, shown_height, right_by, down_by = (
        Fraction(above, below) for above, below in zip(values[::2], values[1::2], strict=True)
    )
    left = round((width - shown_width) / 2 + right_by)
    top = round((height - shown_height) / 2 + down_by)
    crop = Crop(left, top, width - left - round(shown_width), height - top - round(shown_height))
    return crop if min(crop.left, crop.top, crop.right, crop.bottom) >= 0 else None
