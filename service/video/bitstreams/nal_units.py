"""NAL units of H.264 and HEVC packets, and their bits (ITU-T H.264 and H.265). Pure."""

from collections.abc import Iterator

MAX_HEADER_BYTES = 64
"""The fields of a slice header that are read lie within the first bytes of the slice."""

_H264_SLICES = (1, 2, 5)
_FIRST_NON_SLICE_TYPE = 32
_AVCC_BYTES = 6
_HVCC_BYTES = 23
_START_CODE = b"\0\0\1"


def nal_units(data: memoryview, num_length_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each unit; the start is its header byte."""
    if num_length_bytes:
        position = 0
        while position + num_length_bytes < len(data):
            start = position + num_length_bytes
            position = start + int.from_bytes(data[position:start])
            yield start, min(position, len(data))
        return
    content = bytes(data)
    position = content.find(_START_CODE)
    while 0 <= position < len(content) - len(_START_CODE):
        start = position + len(_START_CODE)
        position = content.find(_START_CODE, start)
        yield start, len(content) if position < 0 else position


def nal_length_bytes(codec: str, extradata: bytes | None) -> int:
    """Bytes of the length prefix of units, by the decoder's extra data; 0 for start codes."""
    if codec == "h264":
        return (extradata[4] & 3) + 1 if extradata and len(extradata) > _AVCC_BYTES and extradata[0] == 1 else 0
    if codec != "hevc" or not extradata or len(extradata) < _HVCC_BYTES:
        return 0
    return 0 if extradata[:2] == b"\0\0" and extradata[2] <= 1 else (extradata[21] & 3) + 1


def is_h264_slice(header: int) -> bool:
    """Whether an H.264 unit with this first byte is a slice of a picture."""
    return header & 0x1F in _H264_SLICES


def is_hevc_slice(header: int) -> bool:
    """Whether an HEVC unit with this first byte is a slice of a picture."""
    return (header >> 1) & 0x3F < _FIRST_NON_SLICE_TYPE


def without_emulation(data: bytes) -> bytes:
    """Remove the emulation prevention bytes, which keep start codes out of coded data."""
    return data.replace(b"\0\0\3", b"\0\0")


class Bits:
    """Reads unsigned numbers from bytes, bit by bit; returns zeros after the end."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._value = int.from_bytes(data)
        self._num_left = len(data) * 8

    def number(self, num_bits: int) -> int:
        """Read the next `num_bits` as an unsigned number."""
        self._num_left -= num_bits
        shifted = self._value >> self._num_left if self._num_left >= 0 else 0
        return shifted & ((1 << num_bits) - 1)

    def exp_golomb(self) -> int:
        """Read the next unsigned Exp-Golomb number (ITU-T H.264, 9.1)."""
        num_zeros = 0
        while self._num_left > 0 and not self.number(1):
            num_zeros += 1
        return (1 << num_zeros) - 1 + self.number(num_zeros) if self._num_left >= 0 else 0

    def skip_scaling_list(self, size: int) -> None:
        """Skip one scaling list of `size` deltas (ITU-T H.264, 7.3.2.1.1.1)."""
        last = following = 8
        for _ in range(size):
            if following:
                code = self.exp_golomb()
                delta = (code + 1) // 2 if code % 2 else -(code // 2)
                following = (last + delta) % 256
            last = following or last
