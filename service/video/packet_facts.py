"""Reads the facts of a packet that decide its place in time, from its container and from its first bytes."""

from av.packet import Packet
from av.video.stream import VideoStream

from service.video.bitstream import BPictures, has_several_pictures, has_slice, hevc_temporal_layer, is_hidden, is_idr
from service.video.clock import PacketFacts
from service.video.container import codec_name, encrypted_error
from service.video.h264_fields import H264Fields
from service.video.nal_units import nal_length_bytes
from service.video.orientation_message import display_orientation

_CODECS_THAT_DO_NOT_STATE_REORDERING = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4"})
_CODECS_OF_UNITS = frozenset({"h264", "hevc"})
_MAX_BYTES_WITHOUT_PICTURE = 64
"""A larger packet of such a codec is not searched for a picture: it holds one."""

_MAX_TICKS = 1 << 62
"""Beyond it lies no time, and sums of times overflow."""


class PacketFactsReader:
    """Reads the facts of a track's packets, in file order, and those of the stream that they show."""

    def __init__(self, stream: VideoStream) -> None:
        context = stream.codec_context
        self._codec = codec_name(stream)
        self._num_length_bytes = nal_length_bytes(self._codec, context.extradata)
        self._fields = H264Fields(context.extradata) if self._codec == "h264" else None
        self._is_first = True
        # MPEG decoders and H.264's find out about reordering on the way; HEVC and others state it.
        self._may_be_reordered = bool(context.has_b_frames) or self._codec in _CODECS_THAT_DO_NOT_STATE_REORDERING
        self._b_pictures = BPictures(self._codec, context.extradata) if self._codec in BPictures.CODECS else None
        self.is_reordered = self._may_be_reordered and self._b_pictures is None
        """Whether pictures are stored in another order than they are shown."""
        self.may_begin_unshown = False
        """Whether the first picture is none that a decoder always shows first."""
        self.has_palette = False
        self.is_packed = False
        """Whether packets hold several pictures, and others none: their timestamps do not order pictures."""

    def __call__(self, packet: "Packet[VideoStream]") -> PacketFacts:
        """The facts of the next packet; raises UnsupportedVideo where it is encrypted."""
        layer = 0
        is_discarded = packet.is_discard
        orientation = None
        data = memoryview(packet)
        if self._is_first:
            self._is_first = False
            self.may_begin_unshown = self._codec == "h264" and not is_idr(data, self._num_length_bytes)
            if packet.has_sidedata("encryption_info"):
                raise encrypted_error(self._codec)
        if self._codec in ("vp8", "vp9"):
            is_discarded = is_discarded or is_hidden(self._codec, data)
        elif self._codec == "hevc":
            layer = hevc_temporal_layer(data, self._num_length_bytes)
        if self._codec in _CODECS_OF_UNITS and packet.size <= _MAX_BYTES_WITHOUT_PICTURE:
            is_discarded = is_discarded or not has_slice(self._codec, data, self._num_length_bytes)
        if packet.is_keyframe and self._codec in _CODECS_OF_UNITS:
            orientation = display_orientation(self._codec, data, self._num_length_bytes)
        if self._b_pictures is not None and self._may_be_reordered and not self.is_reordered:
            self.is_reordered = self._b_pictures.are_in(data)
        if self._codec == "mpeg4" and self.is_reordered and not self.is_packed:
            self.is_packed = has_several_pictures(data)
        self.has_palette = self.has_palette or packet.has_sidedata("palette")
        return PacketFacts(
            pts=_ticks(packet.pts),
            duration=packet.duration or 0,
            is_keyframe=packet.is_keyframe,
            is_discarded=is_discarded,
            dts=_ticks(packet.dts),
            temporal_layer=layer,
            is_new_setup=packet.has_sidedata("new_extradata"),
            is_second_field=self._fields is not None and self._fields.may_have_fields and self._fields.is_second(data),
            is_corrupt=packet.is_corrupt,
            orientation=orientation,
        )


def _ticks(value: int | None) -> int | None:
    return value if value is not None and abs(value) < _MAX_TICKS else None
