"""Facts in the first bytes of a coded picture that its container does not state. Pure; decodes nothing."""

from collections.abc import Iterator

from service.video.orientation import Orientation

_MAX_HEADER_BYTES = 64
"""A slice header's fields that are read here lie within so many bytes of the slice's start."""


def is_hidden(codec: str, data: memoryview) -> bool:
    """Whether a packet holds only a picture for others to refer to, never shown itself.

    VP8 and VP9 have such pictures ("alternate references"); containers list them among the rest,
    with a time at which nothing new comes on screen.
    """
    if codec == "vp8":
        return not data[0] & 0x10
    if codec == "vp9":
        return not _is_vp9_superframe(data) and not _is_vp9_shown(data[0], data[1] if len(data) > 1 else 0)
    return False


def hevc_temporal_layer(data: memoryview, num_length_bytes: int) -> int:
    """The temporal layer (0 is the lowest) of an HEVC packet's first slice; -1 where there is none.

    `num_length_bytes` is the size of the length before every unit, 0 for a stream with start codes.
    """
    for start, _ in _nal_units(data, num_length_bytes):
        if start + 1 < len(data) and _is_hevc_slice(data[start]):
            return (data[start + 1] & 7) - 1
    return -1


def has_slice(codec: str, data: memoryview, num_length_bytes: int) -> bool:
    """Whether a packet of H.264 or HEVC holds any part of a picture, and not only messages between pictures."""
    is_slice = _is_h264_slice if codec == "h264" else _is_hevc_slice
    return any(is_slice(data[start]) for start, _ in _nal_units(data, num_length_bytes))


def nal_length_bytes(codec: str, extradata: bytes | None) -> int:
    """Size of the length before every unit of H.264 or HEVC, 0 for start codes, from the decoder's extra data."""
    if codec == "h264":
        return (extradata[4] & 3) + 1 if extradata and len(extradata) > _AVCC_BYTES and extradata[0] == 1 else 0
    if codec != "hevc" or not extradata or len(extradata) < _HVCC_BYTES:
        return 0
    return 0 if extradata[:2] == b"\0\0" and extradata[2] <= 1 else (extradata[21] & 3) + 1


def is_idr(data: memoryview, num_length_bytes: int) -> bool:
    """Whether a packet of H.264 holds a picture at which decoding begins without a look back."""
    return any(data[start] & 0x1F == _H264_IDR for start, _ in _nal_units(data, num_length_bytes))


class BPictures:
    """Tells which packets hold a B picture, which may be shown out of order; knows `CODECS`.

    Without B pictures, a stream stores its pictures in the order in which they are shown.
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
            return any(byte >> 6 == _MPEG4_B for byte in _bytes_after(data, b"\0\0\1\xb6", 0))
        return any((byte >> 3) & 7 == _MPEG2_B for byte in _bytes_after(data, b"\0\0\1\0", 1))

    def _is_h264_b(self, data: memoryview) -> bool:
        for start, _ in _nal_units(data, self._num_length_bytes):
            if _is_h264_slice(data[start]):
                # The first slice of a picture: first_mb_in_slice is 0, one bit, and slice_type 1 or 6 follows.
                first = data[start + 1] if start + 1 < len(data) else 0
                return first >> 4 == _H264_B_ONE or first >> 2 == _H264_B_SIX
        return False

    def _is_hevc_b(self, data: memoryview) -> bool:
        for start, _ in _nal_units(data, self._num_length_bytes):
            if _is_hevc_slice(data[start]):
                bits = _Bits(data[start + 2 : start + _MAX_HEADER_BYTES])
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
            bits = _Bits(_without_emulation(extradata[start : start + _MAX_HEADER_BYTES]))
            bits.exp_golomb()
            bits.exp_golomb()
            bits.number(2)
            return bits.number(3)
    return 0


class H264Fields:
    """Tells which packets of an H.264 stream hold the second field of a picture.

    Reads the first sequence parameter set of the decoder's extra data; streams whose sets change are rare
    among interlaced ones.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._num_length_bytes = nal_length_bytes("h264", extradata)
        self._num_frame_num_bits = 0
        self._has_colour_planes = False
        self.may_have_fields = bool(extradata) and self._read_sequence_parameters(extradata or b"")
        self._awaited: tuple[int, int] | None = None

    def is_second(self, data: memoryview) -> bool:
        """Whether the next packet, in file order, completes the picture that the packet before it began."""
        field = self._field(data) if self.may_have_fields else None
        is_second = field is not None and field == self._awaited
        # The other field of the same picture, by frame number and parity.
        self._awaited = None if field is None or is_second else (field[0], 1 - field[1])
        return is_second

    def _field(self, data: memoryview) -> tuple[int, int] | None:
        """(frame number, 1 for the bottom field) of the packet's first slice; None for a whole picture."""
        for start, _ in _nal_units(data, self._num_length_bytes):
            if _is_h264_slice(data[start]):
                bits = _Bits(data[start + 1 : start + _MAX_HEADER_BYTES])
                for _ in range(3):
                    bits.exp_golomb()  # first_mb_in_slice, slice_type, pic_parameter_set_id
                if self._has_colour_planes:
                    bits.number(2)
                frame_number = bits.number(self._num_frame_num_bits)
                return (frame_number, bits.number(1)) if bits.number(1) else None
        return None

    def _read_sequence_parameters(self, extradata: bytes) -> bool:
        """Whether the stream may hold fields (`frame_mbs_only_flag` is 0)."""
        # In extra data with lengths, the first set begins 8 bytes in; with start codes it is searched for.
        starts = (
            [_AVCC_BYTES + 2]
            if self._num_length_bytes
            else [start for start, _ in _nal_units(memoryview(extradata), 0)]
        )
        for start in starts:
            if start < len(extradata) and extradata[start] & 0x1F == _H264_SPS:
                return self._reads_fields(_Bits(_without_emulation(extradata[start + 1 : start + 256])))
        return False

    def _reads_fields(self, bits: "_Bits") -> bool:
        profile = bits.number(8)
        bits.number(16)
        bits.exp_golomb()
        if profile in _H264_HIGH_PROFILES:
            chroma_format = bits.exp_golomb()
            self._has_colour_planes = chroma_format == 3 and bool(bits.number(1))  # noqa: PLR2004 - 4:4:4
            bits.exp_golomb()
            bits.exp_golomb()
            bits.number(1)
            if bits.number(1):
                for index in range(8 if chroma_format != 3 else 12):  # noqa: PLR2004
                    if bits.number(1):
                        bits.skip_scaling_list(16 if index < 6 else 64)  # noqa: PLR2004
        self._num_frame_num_bits = bits.exp_golomb() + 4
        order_type = bits.exp_golomb()
        if order_type == 0:
            bits.exp_golomb()
        elif order_type == 1:
            bits.number(1)
            bits.exp_golomb()
            bits.exp_golomb()
            for _ in range(min(bits.exp_golomb(), 255)):
                bits.exp_golomb()
        bits.exp_golomb()
        bits.number(1)
        bits.exp_golomb()
        bits.exp_golomb()
        return not bits.number(1) and self._num_frame_num_bits <= 16  # noqa: PLR2004 - the standard's limit


def display_orientation(codec: str, data: memoryview, num_length_bytes: int) -> Orientation | None:
    """The orientation that a message before an H.264 or HEVC picture asks for; None where there is no such message.

    ITU-T H.264 and H.265, annex D: the display orientation SEI message.
    """
    sei_type, header_bytes, is_slice = (
        (_H264_SEI, 1, _is_h264_slice) if codec == "h264" else (_HEVC_PREFIX_SEI, 2, _is_hevc_slice)
    )
    for start, end in _nal_units(data, num_length_bytes):
        unit_type = data[start] & 0x1F if codec == "h264" else (data[start] >> 1) & 0x3F
        if is_slice(data[start]):
            return None
        if unit_type == sei_type:
            content = _without_emulation(bytes(data[start + header_bytes : min(end, start + _MAX_SEI_BYTES)]))
            for kind, payload in _sei_messages(content):
                if kind == _DISPLAY_ORIENTATION:
                    return _orientation_of(_Bits(payload))
    return None


def _orientation_of(bits: "_Bits") -> Orientation:
    if bits.number(1):  # The message cancels the orientation that was in force.
        return Orientation()
    is_flipped_horizontally, is_flipped_vertically = bool(bits.number(1)), bool(bits.number(1))
    quarter_turns = round(bits.number(16) / 16384) % 4
    # The message turns anticlockwise after it mirrors; two mirrorings are half a turn.
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


_FIRST_NON_SLICE_TYPE = 32
_HEVC_PREFIX_SEI = 39
_HEVC_PPS = 34
_HEVC_B = 0
_HEVC_RANDOM_ACCESS = range(16, 24)
_H264_SLICES = (1, 2, 5)
_H264_IDR = 5
_H264_SEI = 6
_H264_SPS = 7
_H264_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244})
_AVCC_BYTES = 6
_HVCC_BYTES = 23
_H264_B_ONE, _H264_B_SIX = 0b1_010, 0b1_00111
_MPEG2_B = 3
_MPEG4_B = 2
_DISPLAY_ORIENTATION = 47
_MAX_SEI_BYTES = 4096
_CONTINUED = 0xFF
_SUPERFRAME_MARKER = 0b110
_START_CODE = b"\0\0\1"


class _Bits:
    """Reads whole numbers off bytes, bit by bit; past the end there are zeros."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._value = int.from_bytes(data)
        self._num_left = len(data) * 8

    def number(self, num_bits: int) -> int:
        """The next `num_bits` as an unsigned number."""
        self._num_left -= num_bits
        shifted = self._value >> self._num_left if self._num_left >= 0 else 0
        return shifted & ((1 << num_bits) - 1)

    def exp_golomb(self) -> int:
        """The next unsigned Exp-Golomb number (ITU-T H.264, 9.1)."""
        num_zeros = 0
        while self._num_left > 0 and not self.number(1):
            num_zeros += 1
        return (1 << num_zeros) - 1 + self.number(num_zeros) if self._num_left >= 0 else 0

    def skip_scaling_list(self, size: int) -> None:
        """Pass over one list of `size` deltas (ITU-T H.264, 7.3.2.1.1.1)."""
        last = following = 8
        for _ in range(size):
            if following:
                code = self.exp_golomb()
                delta = (code + 1) // 2 if code % 2 else -(code // 2)
                following = (last + delta) % 256
            last = following or last


def _is_h264_slice(header: int) -> bool:
    return header & 0x1F in _H264_SLICES


def _is_hevc_slice(header: int) -> bool:
    return (header >> 1) & 0x3F < _FIRST_NON_SLICE_TYPE


def _without_emulation(data: bytes) -> bytes:
    """Coded bytes without those that keep start codes from appearing in them."""
    return data.replace(b"\0\0\3", b"\0\0")


def _nal_units(data: memoryview, num_length_bytes: int) -> Iterator[tuple[int, int]]:
    """Where each unit begins, with its header, and where it ends."""
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


def _bytes_after(data: memoryview, start_code: bytes, offset: int) -> Iterator[int]:
    """The byte `offset` bytes behind each `start_code`."""
    content = bytes(data)
    position = content.find(start_code)
    while position >= 0:
        place = position + len(start_code) + offset
        if place < len(content):
            yield content[place]
        position = content.find(start_code, position + len(start_code))


def _is_vp9_superframe(data: memoryview) -> bool:
    # Several pictures in one packet end with an index, which begins and ends with the same byte.
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
