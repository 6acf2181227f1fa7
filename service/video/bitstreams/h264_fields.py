"""Finds the second fields of interlaced H.264 pictures, which some containers store in separate packets. Pure."""

from service.video.bitstreams.nal_units import (
    MAX_HEADER_BYTES,
    Bits,
    is_h264_slice,
    nal_length_bytes,
    nal_units,
    without_emulation,
)

_SPS = 7
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244})
_FIRST_SPS_IN_AVCC = 8


class H264Fields:
    """Finds the packets of an H.264 stream that hold the second field of a picture.

    Reads only the first sequence parameter set of the decoder's extra data: interlaced streams rarely change it.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._num_length_bytes = nal_length_bytes("h264", extradata)
        self._num_frame_num_bits = 0
        self._has_colour_planes = False
        self.may_have_fields = bool(extradata) and self._read_sequence_parameters(extradata or b"")
        self._awaited: tuple[int, int] | None = None

    def is_second(self, data: memoryview) -> bool:
        """Whether the next packet in file order completes the picture of the packet before it."""
        field = self._field(data) if self.may_have_fields else None
        is_second = field is not None and field == self._awaited
        # Frame number and parity of the other field of the same picture.
        self._awaited = None if field is None or is_second else (field[0], 1 - field[1])
        return is_second

    def _field(self, data: memoryview) -> tuple[int, int] | None:
        """(frame number, 1 for the bottom field) of the packet's first slice; None for a complete picture."""
        for start, _ in nal_units(data, self._num_length_bytes):
            if is_h264_slice(data[start]):
                bits = Bits(data[start + 1 : start + MAX_HEADER_BYTES])
                for _ in range(3):
                    bits.exp_golomb()  # first_mb_in_slice, slice_type, pic_parameter_set_id
                if self._has_colour_planes:
                    bits.number(2)
                frame_number = bits.number(self._num_frame_num_bits)
                return (frame_number, bits.number(1)) if bits.number(1) else None
        return None

    def _read_sequence_parameters(self, extradata: bytes) -> bool:
        """Whether the stream may hold fields (`frame_mbs_only_flag` is 0)."""
        # With length prefixes, the first set begins at byte 8. With start codes, it must be searched.
        starts = (
            [_FIRST_SPS_IN_AVCC]
            if self._num_length_bytes
            else [start for start, _ in nal_units(memoryview(extradata), 0)]
        )
        for start in starts:
            if start < len(extradata) and extradata[start] & 0x1F == _SPS:
                return self._reads_fields(Bits(without_emulation(extradata[start + 1 : start + 256])))
        return False

    def _reads_fields(self, bits: "Bits") -> bool:
        profile = bits.number(8)
        bits.number(16)
        bits.exp_golomb()
        if profile in _HIGH_PROFILES:
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
