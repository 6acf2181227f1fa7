"""What the first bytes of a coded picture say of it, where its container keeps silent. Pure; decodes nothing."""


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
    for start in _nal_starts(data, num_length_bytes):
        if start + 1 < len(data) and (data[start] >> 1) & 0x3F < _FIRST_NON_SLICE_TYPE:
            return (data[start + 1] & 7) - 1
    return -1


def hevc_length_bytes(extradata: bytes | None) -> int:
    """Size of the length before every unit, 0 for start codes, from the decoder's extra data."""
    if not extradata or len(extradata) < _HVCC_BYTES or (extradata[:2] == b"\0\0" and extradata[2] <= 1):
        return 0
    return (extradata[21] & 3) + 1


_FIRST_NON_SLICE_TYPE = 32
_HVCC_BYTES = 23
_SUPERFRAME_MARKER = 0b110


def _nal_starts(data: memoryview, num_length_bytes: int) -> list[int]:
    starts = []
    if num_length_bytes:
        position = 0
        while position + num_length_bytes < len(data):
            starts.append(position + num_length_bytes)
            position += num_length_bytes + int.from_bytes(data[position : position + num_length_bytes])
        return starts
    content = bytes(data)
    position = content.find(b"\0\0\1")
    while position >= 0:
        starts.append(position + 3)
        position = content.find(b"\0\0\1", position + 3)
    return starts


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
