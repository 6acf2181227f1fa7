"""The first bytes of coded pictures, written out by hand from the formats' own descriptions."""

import pytest

from service.video.bitstream import hevc_temporal_layer, is_hidden, nal_length_bytes


@pytest.mark.parametrize(("first_byte", "hidden"), [(0b0001_0000, False), (0b0001_0001, False), (0b0000_0001, True)])
def test_a_vp8_picture_says_whether_it_is_shown(first_byte: int, *, hidden: bool) -> None:
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
def test_a_vp9_picture_says_whether_it_is_shown(header: list[int], *, hidden: bool) -> None:
    assert is_hidden("vp9", memoryview(bytes(header))) is hidden


def test_other_codecs_hide_nothing() -> None:
    assert not is_hidden("h264", memoryview(b"\0"))


def unit(kind: int, layer: int) -> bytes:
    return bytes([kind << 1, layer + 1, 0xAA])


def test_a_slices_temporal_layer_is_found_behind_other_units() -> None:
    units = [unit(35, 0), unit(39, 0), unit(1, 2), unit(1, 0)]
    with_start_codes = b"".join(b"\0\0\0\1" + content for content in units)
    with_lengths = b"".join(len(content).to_bytes(4) + content for content in units)
    assert hevc_temporal_layer(memoryview(with_start_codes), 0) == 2
    assert hevc_temporal_layer(memoryview(with_lengths), 4) == 2


@pytest.mark.parametrize("content", [b"", b"\0\0\1", b"\0\0\0\x09\x02", b"\0\0\1\x4e\1", b"\xff" * 9])
def test_packets_without_a_slice_have_no_layer(content: bytes) -> None:
    assert hevc_temporal_layer(memoryview(content), 0) == -1
    assert hevc_temporal_layer(memoryview(content), 4) == -1


def test_the_size_of_lengths_is_read_from_the_decoders_extra_data() -> None:
    assert nal_length_bytes("hevc", None) == 0
    assert nal_length_bytes("hevc", b"\0\0\0\1" + bytes(30)) == 0
    assert nal_length_bytes("hevc", b"\1" + bytes(20) + b"\xff\0") == 4
