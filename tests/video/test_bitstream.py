"""Properties read from the first bytes of coded pictures, written by hand from the specifications."""

import random
from pathlib import Path

import av
import pytest
from av.video.frame import PictureType

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
from service.video.orientation import Orientation
from tests.support.videos import encode, moving


@pytest.mark.parametrize(("first_byte", "hidden"), [(0b0001_0000, False), (0b0001_0001, False), (0b0000_0001, True)])
def test_the_show_flag_of_vp8_pictures_is_read(first_byte: int, *, hidden: bool) -> None:
    assert is_hidden("vp8", memoryview(bytes([first_byte, 0, 0]))) is hidden


@pytest.mark.parametrize(
    ("header", "hidden"),
    [
        pytest.param([0b1000_0010, 0x49], False, id="shown keyframe"),
        pytest.param([0b1000_0100, 0], True, id="hidden inter picture"),
        pytest.param([0b1000_0110, 0], False, id="shown inter picture"),
        pytest.param([0b1000_1000], False, id="shows an existing picture"),
        pytest.param([0b1011_0010, 0], True, id="hidden inter picture of profile 3"),
        pytest.param([0b1011_0011, 0], False, id="shown inter picture of profile 3"),
        pytest.param([0b1000_0100, 9, 9, 0b1100_0001, 1, 2, 0b1100_0001], False, id="superframe"),
    ],
)
def test_the_show_flag_of_vp9_pictures_is_read(header: list[int], *, hidden: bool) -> None:
    assert is_hidden("vp9", memoryview(bytes(header))) is hidden


def test_other_codecs_have_no_hidden_pictures() -> None:
    assert not is_hidden("h264", memoryview(b"\0"))


def unit(kind: int, layer: int) -> bytes:
    return bytes([kind << 1, layer + 1, 0xAA])


def test_the_temporal_layer_of_a_slice_is_found_after_other_units() -> None:
    units = [unit(35, 0), unit(39, 0), unit(1, 2), unit(1, 0)]
    with_start_codes = b"".join(b"\0\0\0\1" + content for content in units)
    with_lengths = b"".join(len(content).to_bytes(4) + content for content in units)
    assert hevc_temporal_layer(memoryview(with_start_codes), 0) == 2
    assert hevc_temporal_layer(memoryview(with_lengths), 4) == 2


@pytest.mark.parametrize("content", [b"", b"\0\0\1", b"\0\0\0\x09\x02", b"\0\0\1\x4e\1", b"\xff" * 9])
def test_packets_without_a_slice_have_no_temporal_layer(content: bytes) -> None:
    assert hevc_temporal_layer(memoryview(content), 0) == -1
    assert hevc_temporal_layer(memoryview(content), 4) == -1


def test_the_length_prefix_is_read_from_the_extra_data_of_the_decoder() -> None:
    assert nal_length_bytes("hevc", None) == 0
    assert nal_length_bytes("hevc", b"\0\0\0\1" + bytes(30)) == 0
    assert nal_length_bytes("hevc", b"\1" + bytes(20) + b"\xff\0") == 4


ENCODINGS = {
    "h264": ("mp4", "libx264", {"qp": "24", "preset": "medium", "bf": "3", "g": "9"}),
    "h264 with start codes": ("ts", "libx264", {"qp": "24", "preset": "medium", "bf": "3", "g": "9"}),
    "hevc": ("mp4", "libx265", {"x265-params": "log-level=0:bframes=3:keyint=9"}),
    "hevc with start codes": ("ts", "libx265", {"x265-params": "log-level=0:bframes=3:keyint=9"}),
    "mpeg2": ("ts", "mpeg2video", {"bf": "2", "g": "9"}),
    "mpeg4": ("mp4", "mpeg4", {"bf": "2", "g": "9"}),
}


@pytest.mark.parametrize("kind", ENCODINGS, ids=lambda name: name.replace(" ", "-"))
def test_b_pictures_match_the_decoder(tmp_path: Path, kind: str) -> None:
    suffix, codec, options = ENCODINGS[kind]
    path = encode(tmp_path / f"video.{suffix}", moving(30), rate=25, codec=codec, options=options)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        b_pictures = BPictures(stream.codec_context.codec.canonical_name, stream.codec_context.extradata)
        found = {packet.pts: b_pictures.are_in(memoryview(packet)) for packet in container.demux(stream) if packet.size}
    with av.open(str(path)) as container:
        decoded = {frame.pts: frame.pict_type == PictureType.B for frame in container.decode(video=0)}
    assert {pts: found[pts] for pts in decoded} == decoded
    assert 3 < sum(decoded.values()) < 27


def test_a_packet_with_several_mpeg4_pictures_is_detected() -> None:
    picture = b"\0\0\1\xb6\x10\x42"
    assert not has_several_pictures(memoryview(b"\0\0\1\xb0\1" + picture))
    assert has_several_pictures(memoryview(picture + picture))


def bits(text: str) -> bytes:
    """The binary digits in `text` as bytes, padded with zeros."""
    digits = text.replace(" ", "")
    digits += "0" * (-len(digits) % 8)
    return int(digits, 2).to_bytes(len(digits) // 8)


# Main profile, frame numbers of 4 bits, order by count, one reference, no gaps, 2x2 macroblocks, fields allowed.
SPS_WITH_FIELDS = b"\0\0\1\x67" + bytes([77, 0, 30]) + bits("1 1 1 1 010 0 010 010 0 1")
SPS_WITHOUT_FIELDS = b"\0\0\1\x67" + bytes([77, 0, 30]) + bits("1 1 1 1 010 0 010 010 1 1")


def h264_slice(frame_number: int, field: str) -> memoryview:
    """A slice of picture `frame_number`: of its "top" or "bottom" field, or of the whole "frame"."""
    parity = {"top": "1 0", "bottom": "1 1", "frame": "0"}[field]
    return memoryview(b"\0\0\1\x41" + bits(f"1 1 1 {frame_number:04b} {parity} 1111"))


def test_a_second_field_is_detected_by_frame_number_and_parity() -> None:
    fields = H264Fields(SPS_WITH_FIELDS)
    assert fields.may_have_fields
    are_second = [
        fields.is_second(h264_slice(number, field))
        for number, field in [
            (0, "top"),
            (0, "bottom"),
            (1, "frame"),
            (2, "bottom"),
            (2, "top"),
            (3, "top"),
            (4, "top"),
        ]
    ]
    assert are_second == [False, True, False, False, True, False, False]


def test_a_stream_without_fields_has_no_second_fields() -> None:
    assert not H264Fields(SPS_WITHOUT_FIELDS).may_have_fields
    assert not H264Fields(None).may_have_fields


def test_complete_pictures_of_an_interlaced_stream_are_not_fields(tmp_path: Path) -> None:
    for flags, may_have_fields in (("+ilme+ildct", True), ("-ilme", False)):
        path = encode(tmp_path / "video.mp4", moving(6), options={"flags": flags})
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            fields = H264Fields(stream.codec_context.extradata)
            assert fields.may_have_fields is may_have_fields
            assert not any(fields.is_second(memoryview(packet)) for packet in container.demux(stream) if packet.size)


def test_a_packet_without_a_picture_is_detected() -> None:
    end_of_sequence = memoryview(b"\0\0\1\x0a")
    assert not has_slice("h264", end_of_sequence, 0)
    assert has_slice("h264", h264_slice(0, "frame"), 0)
    assert not is_idr(h264_slice(0, "frame"), 0)
    assert is_idr(memoryview(b"\0\0\1\x65\x88"), 0)


def sei(payload: bytes, kind: int = 47) -> memoryview:
    """An H.264 SEI message, followed by a picture."""
    return memoryview(b"\0\0\1\x06" + bytes([kind, len(payload)]) + payload + b"\x80\0\0\1\x65\x88")


def test_an_orientation_message_is_read() -> None:
    quarter = f"{16384:016b}"
    assert display_orientation("h264", sei(bits(f"0 0 0 {quarter} 010 1")), 0) == Orientation(False, 270)  # noqa: FBT003
    assert display_orientation("h264", sei(bits("0 1 0 " + "0" * 16 + " 010 1")), 0) == Orientation(is_mirrored=True)
    assert display_orientation("h264", sei(bits("1")), 0) == Orientation()
    assert display_orientation("h264", sei(bits("0 1 0"), kind=5), 0) is None
    assert display_orientation("h264", h264_slice(0, "frame"), 0) is None


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg2video", "mpeg4"])
def test_random_bytes_raise_no_error(codec: str) -> None:
    rng = random.Random(codec)  # noqa: S311
    for _ in range(500):
        content = bytearray(rng.randbytes(rng.randrange(1, 90)))
        for _ in range(3):
            content[rng.randrange(len(content)) :][:3] = b"\0\0\1"
        data = memoryview(bytes(content))
        for extradata in (None, bytes(content), SPS_WITH_FIELDS + bytes(content)):
            for num_length_bytes in (0, 1, 2, 4):
                display_orientation(codec, data, num_length_bytes)
                has_slice(codec, data, num_length_bytes)
                hevc_temporal_layer(data, num_length_bytes)
            BPictures(codec, extradata).are_in(data)
            H264Fields(extradata).is_second(data)
