"""The display orientation message in H.264 and HEVC streams (ITU-T H.264 and H.265, annex D). Pure."""

from collections.abc import Iterator

from service.video.bitstreams.nal_units import Bits, is_h264_slice, is_hevc_slice, nal_units, without_emulation
from service.video.orientation import Orientation

_H264_SEI = 6
_HEVC_PREFIX_SEI = 39
_DISPLAY_ORIENTATION = 47
_MAX_SEI_BYTES = 4096
_CONTINUED = 0xFF


def display_orientation(codec: str, data: memoryview, num_length_bytes: int) -> Orientation | None:
    """Orientation stated by a display orientation SEI message before an H.264 or HEVC picture; None without one."""
    sei_type, header_bytes, is_slice = (
        (_H264_SEI, 1, is_h264_slice) if codec == "h264" else (_HEVC_PREFIX_SEI, 2, is_hevc_slice)
    )
    for start, end in nal_units(data, num_length_bytes):
        unit_type = data[start] & 0x1F if codec == "h264" else (data[start] >> 1) & 0x3F
        if is_slice(data[start]):
            return None
        if unit_type == sei_type:
            content = without_emulation(bytes(data[start + header_bytes : min(end, start + _MAX_SEI_BYTES)]))
            for kind, payload in _sei_messages(content):
                if kind == _DISPLAY_ORIENTATION:
                    return _orientation_of(Bits(payload))
    return None


def _orientation_of(bits: "Bits") -> Orientation:
    if bits.number(1):  # The message cancels the previous orientation.
        return Orientation()
    is_flipped_horizontally, is_flipped_vertically = bool(bits.number(1)), bool(bits.number(1))
    quarter_turns = round(bits.number(16) / 16384) % 4
    # The message mirrors first, then rotates anticlockwise. Mirroring on both axes is half a turn.
    return Orientation(
        is_mirrored=is_flipped_horizontally != is_flipped_vertically,
        rotation_degrees=(-90 * quarter_turns + (180 if is_flipped_vertically else 0)) % 360,
    )


def _sei_messages(content: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 2 < len(content):
        values = []
        for _ in range(2):
            value = 0
            while position < len(content) - 1 and content[position] == _CONTINUED:
                value += _CONTINUED
                position += 1
            values.append(value + content[position])
            position += 1
            if position >= len(content):
                return
        kind, num_bytes = values
        yield kind, content[position : position + num_bytes]
        position += num_bytes
