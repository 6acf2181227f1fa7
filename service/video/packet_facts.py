"""Reads the timing properties of packets from their container and from their first bytes."""

from av.packet import Packet
from av.video.stream import VideoStream

from service.video.bitstreams.h264_fields import H264Fields
from service.video.bitstreams.nal_units import nal_length_bytes
from service.video.bitstreams.orientation_message import display_orientation
from service.video.bitstreams.picture_headers import (
    BPictures,
    has_several_pictures,
    has_slice,
    hevc_temporal_layer,
    is_hidden,
    is_idr,
)
from service.video.clock import PacketFacts
from service.video.containers.container import codec_name, encrypted_error

_CODECS_THAT_DO_NOT_STATE_REORDERING = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4"})
_CODECS_OF_UNITS = frozenset({"h264", "hevc"})
_HIDING_CODECS = frozenset({"vp8", "vp9"})
_PALETTE_CODECS = frozenset({"cinepak", "msrle", "msvideo1", "png", "qtrle", "rawvideo", "rpza", "zmbv"})
_MAX_BYTES_WITHOUT_PICTURE = 64
"""A larger packet of H.264 or HEVC certainly holds a picture."""

_MAX_TICKS = 1 << 62
"""Larger timestamps are invalid: their sums overflow."""


class PacketFactsReader:
    """Reads the properties of a track's packets in file order, and collects properties of the stream from them."""

    def __init__(self, stream: VideoStream) -> None:
        context = stream.codec_context
        self._codec = codec_name(stream)
        self._num_length_bytes = nal_length_bytes(self._codec, context.extradata)
        self._has_units = self._codec in _CODECS_OF_UNITS
        self._hides_pictures = self._codec in _HIDING_CODECS
        self._may_have_palette = self._codec in _PALETTE_CODECS
        fields = H264Fields(context.extradata) if self._codec == "h264" else None
        self._fields = fields if fields is not None and fields.may_have_fields else None
        self._is_first = True
        # The decoders of MPEG and H.264 detect reordering only while decoding; HEVC and other codecs state it.
        may_be_reordered = bool(context.has_b_frames) or self._codec in _CODECS_THAT_DO_NOT_STATE_REORDERING
        may_have_b_pictures = may_be_reordered and self._codec in BPictures.CODECS
        self._b_pictures = BPictures(self._codec, context.extradata) if may_have_b_pictures else None
        self.is_reordered = may_be_reordered and self._b_pictures is None
        """Whether pictures are stored in another order than they are shown."""
        self.may_begin_unshown = False
        """Whether the first picture may refer to earlier ones, so that a decoder may not show it."""
        self.has_palette = False
        """Whether packets carry a palette, which applies to the pictures after them."""
        self.is_packed = False
        """Whether some packets hold several pictures and some none, so that timestamps do not order pictures."""

    def __call__(self, packet: "Packet[VideoStream]") -> PacketFacts:
        """Read the properties of the next packet; raises UnsupportedVideo if it is encrypted."""
        layer = 0
        is_keyframe, is_discarded = packet.is_keyframe, packet.is_discard
        orientation = None
        data = memoryview(packet)
        if self._is_first:
            self._read_first(packet, data)
        if self._hides_pictures:
            is_discarded = is_discarded or is_hidden(self._codec, data)
        elif self._has_units:
            if self._codec == "hevc":
                layer = hevc_temporal_layer(data, self._num_length_bytes)
            if packet.size <= _MAX_BYTES_WITHOUT_PICTURE:
                is_discarded = is_discarded or not has_slice(self._codec, data, self._num_length_bytes)
            if is_keyframe:
                orientation = display_orientation(self._codec, data, self._num_length_bytes)
        elif self._may_have_palette and not self.has_palette:
            self.has_palette = packet.has_sidedata("palette")
        if self._b_pictures is not None:
            self._detect_b_pictures(self._b_pictures, data)
        # Positional: keyword arguments take as long as reading the fields.
        return PacketFacts(
            _ticks(packet.pts),
            packet.duration or 0,
            is_keyframe,
            is_discarded,
            _ticks(packet.dts),
            layer,
            packet.has_sidedata("new_extradata"),
            self._fields is not None and self._fields.is_second(data),
            packet.is_corrupt,
            orientation,
        )

    def _read_first(self, packet: "Packet[VideoStream]", data: memoryview) -> None:
        self._is_first = False
        self.may_begin_unshown = self._codec == "h264" and not is_idr(data, self._num_length_bytes)
        if packet.has_sidedata("encryption_info"):
            raise encrypted_error(self._codec)

    def _detect_b_pictures(self, b_pictures: BPictures, data: memoryview) -> None:
        if not self.is_reordered:
            self.is_reordered = b_pictures.are_in(data)
        if self.is_reordered and (self._codec != "mpeg4" or has_several_pictures(data)):
            self.is_packed = self._codec == "mpeg4"
            # Both properties are known.
            self._b_pictures = None


def _ticks(value: int | None) -> int | None:
    return value if value is not None and abs(value) < _MAX_TICKS else None
