"""Reads crop, orientation, encryption and completeness from the header of a Matroska or WebM file.

FFmpeg does not report crop and completeness. Reads only the elements needed (RFC 8794 and RFC 9559).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from service.video.crop import Crop
from service.video.orientation import Orientation

_EBML, _SEGMENT, _TRACKS, _TRACK_ENTRY, _VIDEO = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_TRACK_TYPE = 0x83
_CONTENT_ENCODINGS, _CONTENT_ENCRYPTION = 0x6D80, 0x5035
_PROJECTION, _POSE_YAW, _POSE_PITCH, _POSE_ROLL = 0x7670, 0x7673, 0x7674, 0x7675
_CROP_BOTTOM, _CROP_TOP, _CROP_LEFT, _CROP_RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD
_TYPE_OF_VIDEO = 1
_MAX_ELEMENTS = 20_000
_MAX_VALUE_BYTES = 8


@dataclass(frozen=True, slots=True)
class MatroskaTrack:
    """Crop and orientation of one video track, and whether it is encrypted."""

    crop: Crop = field(default_factory=Crop)
    orientation: Orientation = field(default_factory=Orientation)
    is_encrypted: bool = False


@dataclass(frozen=True, slots=True)
class MatroskaFacts:
    """Header of a file: its video tracks in file order; `is_whole` if it states its size and the file has it."""

    tracks: tuple[MatroskaTrack, ...] = ()
    is_whole: bool = False


class _Element(NamedTuple):
    identifier: int
    start: int
    end: int | None


def matroska_facts(path: Path) -> MatroskaFacts:
    """Read the header of the file at `path`; no tracks if it cannot be read as Matroska."""
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        elements = _Elements(file, num_bytes)
        for element in elements.within(0, num_bytes):
            if element.identifier == _SEGMENT:
                tracks: tuple[MatroskaTrack, ...] = ()
                for child in elements.within(element.start, element.end or num_bytes):
                    if child.identifier == _TRACKS:
                        tracks = tuple(elements.video_tracks(child))
                        break
                return MatroskaFacts(tracks, is_whole=element.end is not None and element.end <= num_bytes)
    return MatroskaFacts()


class _Elements:
    def __init__(self, file: BinaryIO, num_bytes: int) -> None:
        self._file = file
        self._num_bytes = num_bytes
        self._num_left = _MAX_ELEMENTS

    def within(self, start: int, end: int) -> Iterator[_Element]:
        """Yield the elements of `[start, end)`, up to the first that cannot be parsed."""
        position = start
        while position < min(end, self._num_bytes) and self._num_left:
            self._num_left -= 1
            self._file.seek(position)
            identifier, _ = self._number(keep_marker=True)
            size, is_unknown = self._number(keep_marker=False)
            if identifier is None or size is None:
                return
            content = self._file.tell()
            yield _Element(identifier, content, None if is_unknown else content + size)
            if is_unknown:
                return
            position = content + size

    def video_tracks(self, tracks: _Element) -> Iterator[MatroskaTrack]:
        """Yield the properties of each video track."""
        for track in self._children(tracks):
            entries = {child.identifier: child for child in self._children(track)}
            if track.identifier != _TRACK_ENTRY or self._value(entries.get(_TRACK_TYPE)) != _TYPE_OF_VIDEO:
                continue
            video = {child.identifier: child for child in self._children(entries.get(_VIDEO))}
            crop = Crop(*(self._value(video.get(edge)) for edge in (_CROP_LEFT, _CROP_TOP, _CROP_RIGHT, _CROP_BOTTOM)))
            encodings = self._children(entries.get(_CONTENT_ENCODINGS))
            is_encrypted = any(
                child.identifier == _CONTENT_ENCRYPTION for encoding in encodings for child in self._children(encoding)
            )
            yield MatroskaTrack(crop, self._orientation(video.get(_PROJECTION)), is_encrypted)

    def _orientation(self, projection: _Element | None) -> Orientation:
        values = {child.identifier: child for child in self._children(projection)}
        yaw, pitch, roll = (self._float(values.get(pose)) for pose in (_POSE_YAW, _POSE_PITCH, _POSE_ROLL))
        if pitch or yaw not in (0, 180, -180):
            return Orientation()
        # A yaw of 180 degrees shows the picture from behind, mirrored. The roll is counter-clockwise.
        return Orientation.turned(-roll, is_mirrored=bool(yaw))

    def _children(self, element: _Element | None) -> list[_Element]:
        return [] if element is None else list(self.within(element.start, element.end or self._num_bytes))

    def _content(self, element: _Element | None) -> bytes:
        if element is None or element.end is None or element.end - element.start > _MAX_VALUE_BYTES:
            return b""
        self._file.seek(element.start)
        return self._file.read(element.end - element.start)

    def _value(self, element: _Element | None) -> int:
        return int.from_bytes(self._content(element))

    def _float(self, element: _Element | None) -> float:
        content = self._content(element)
        layout = {4: ">f", 8: ">d"}.get(len(content))
        return float(struct.unpack(layout, content)[0]) if layout else 0.0

    def _number(self, *, keep_marker: bool) -> tuple[int | None, bool]:
        """Read a variable-length number, and whether all its bits are set; None after the end of the file."""
        first = self._file.read(1)
        if not first or not first[0]:
            return None, False
        num_more = 8 - first[0].bit_length()
        rest = self._file.read(num_more)
        if len(rest) < num_more:
            return None, False
        marker = 0x80 >> num_more
        value = int.from_bytes(bytes([first[0] ^ marker]) + rest)
        is_full = value == (1 << (7 * (num_more + 1))) - 1
        return (value | marker << (8 * num_more) if keep_marker else value), is_full
