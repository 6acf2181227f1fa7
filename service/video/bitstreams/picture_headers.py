"""Reads properties of coded pictures that containers do not state, from their first bytes. Pure; decodes nothing."""

from collections.abc import Iterator

from service.video.bitstreams.nal_units import (
    MAX_HEADER_BYTES,
    Bits,
    is_h264_slice,
    is_hevc_slice,
    nal_length_bytes,
    nal_units,
    without_emulation,
)


def is_hidden(codec: str, data: memoryview) -> bool:
    """Whether a packet holds only a picture that is never shown ("alternate reference" of VP8 and VP9).

    Containers list such a picture with a time of its own.
    """
    if codec == "vp8":
        return not data[0] & 0x10
    if codec == "vp9":
        return not _is_vp9_superframe(data) and not _is_vp9_shown(data[0], data[1] if len(data) > 1 else 0)
    return False


def hevc_temporal_layer(data: memoryview, num_length_bytes: int) -> int:
    """Temporal layer of an HEVC packet's first slice, 0 for the lowest; -1 without a slice.

    `num_length_bytes` is the size of the length prefix of units, 0 for a stream with start codes.
    """
    for start, _ in nal_units(data, num_length_bytes):
        if start + 1 < len(data) and is_hevc_slice(data[start]):
            return (data[start + 1] & 7) - 1
    return -1


def has_slice(codec: str, data: memoryview, num_length_bytes: int) -> bool:
    """Whether an H.264 or HEVC packet holds a part of a picture, not only messages."""
    is_slice = is_h264_slice if codec == "h264" else is_hevc_slice
    return any(is_slice(data[start]) for start, _ in nal_units(data, num_length_bytes))


def is_idr(data: memoryview, num_length_bytes: int) -> bool:
    """Whether an H.264 packet holds an IDR picture, at which decoding can start."""
    return any(data[start] & 0x1F == _H264_IDR for start, _ in nal_units(data, num_length_bytes))


def has_several_pictures(data: memoryview) -> bool:
    """Whether an MPEG-4 Part 2 packet holds several pictures ("packed bitstream" in AVI files of DivX)."""
    return len(list(_bytes_after(data, _MPEG4_PICTURE, 0))) > 1


class BPictures:
    """Finds packets with B pictures, for the codecs in `CODECS`.

    A stream without B pictures stores its pictures in presentation order.
    """

    CODECS = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"})

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._codec = codec
        self._num_length_bytes = nal_length_bytes(codec, extradata)
        self._num_extra_bits = _hevc_extra_slice_header_bits(extradata or b"") if codec == "hevc" else 0

    def are_in(self, data: memoryview) -> bool:
        """Whether a packet holds a B picture."""
        if self._codec == "h264":
            return self._is_h264_b(data)
        if self._codec == "hevc":
            return self._is_hevc_b(data)
        if self._codec == "mpeg4":
            return any(byte >> 6 == _MPEG4_B for byte in _bytes_after(data, _MPEG4_PICTURE, 0))
        return any((byte >> 3) & 7 == _MPEG2_B for byte in _bytes_after(data, b"\0\0\1\0", 1))

    def _is_h264_b(self, data: memoryview) -> bool:
        for start, _ in nal_units(data, self._num_length_bytes):
            if is_h264_slice(data[start]):
                # First slice of a picture: first_mb_in_slice is 0 (one bit), slice_type is 1 or 6.
                first = data[start + 1] if start + 1 < len(data) else 0
                return first >> 4 == _H264_B_ONE or first >> 2 == _H264_B_SIX
        return False

    def _is_hevc_b(self, data: memoryview) -> bool:
        for start, _ in nal_units(data, self._num_length_bytes):
            if is_hevc_slice(data[start]):
                bits = Bits(data[start + 2 : start + MAX_HEADER_BYTES])
                is_first_of_picture = bits.number(1)
                if (data[start] >> 1) & 0x3F in _HEVC_RANDOM_ACCESS:
                    bits.number(1)
                bits.exp_golomb()
                bits.number(self._num_extra_bits)
                return bool(is_first_of_picture) and bits.exp_golomb() == _HEVC_B
        return False


def _hevc_extra_slice_header_bits(extradata: bytes) -> int:
    """`num_extra_slice_header_bits` of the first picture parameter set in the decoder's extra data."""
    for header in (b"\0\0\1" + bytes([_HEVC_PPS << 1, 1]), bytes([_HEVC_PPS << 1, 1])):
        position = extradata.find(header)
        if position >= 0:
            start = position + len(header)
            bits = Bits(without_emulation(extradata[start : start + MAX_HEADER_BYTES]))
            bits.exp_golomb()
            bits.exp_golomb()
            bits.number(2)
            return bits.number(3)
    return 0


_HEVC_PPS = 34
_HEVC_B = 0
_HEVC_RANDOM_ACCESS = range(16, 24)
_H264_IDR = 5
_H264_B_ONE, _H264_B_SIX = 0b1_010, 0b1_00111
_MPEG2_B = 3
_MPEG4_B = 2
_MPEG4_PICTURE = b"\0\0\1\xb6"
_SUPERFRAME_MARKER = 0b110


def _bytes_after(data: memoryview, start_code: bytes, offset: int) -> Iterator[int]:
    """Yield the byte `offset` bytes after each `start_code`."""
    content = bytes(data)
    position = content.find(start_code)
    while position >= 0:
        position += len(start_code)
        if position + offset < len(content):
            yield content[position + offset]
        position = content.find(start_code, position)


def _is_vp9_superframe(data: memoryview) -> bool:
    # A superframe ends with an index whose first and last byte are equal.
    last = data[-1]
    num_pictures, num_size_bytes = (last & 7) + 1, ((last >> 3) & 3) + 1
    index_bytes = 2 + num_pictures * num_size_bytes
    return last >> 5 == _SUPERFRAME_MARKER and len(data) >= index_bytes and data[-index_bytes] == last


def _is_vp9_shown(first: int, second: int) -> bool:
    bits = f"{first:08b}{second:08b}"
    # marker (2), profile (2, and a reserved bit for profile 3), show-existing, is-inter, shown.
    position = 5 if bits[2:4] == "11" else 4
    shows_existing, shown = bits[position] == "1", bits[position + 2] == "1"
    return shows_existing or shown
