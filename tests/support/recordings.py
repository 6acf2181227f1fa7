"""Generates video files as recorders, phones, cameras and editors write them.

Where no library writes such a file, a muxer of a few lines does, or the bytes of one are changed.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.stream import VideoStream

from tests.support.videos import painted

B_FRAMES = {"qp": "18", "preset": "medium", "bf": "2"}
"""Options of libx264 for a stream whose pictures are stored in another order than shown."""


def appended(path: Path, *parts: Path) -> Path:
    """The files `parts` concatenated, as `cat` does."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def remuxed(
    path: Path,
    source: Path,
    change: Callable[[list[Packet]], list[Packet]] = lambda packets: packets,
    *,
    filtered_by: str | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """The video track of `source` in another container, its packets as `change` or a bitstream filter leaves them."""
    with av.open(str(source)) as whole, av.open(str(path), "w", container_options=container_options or {}) as out:
        track = whole.streams.video[0]
        stream = out.add_stream_from_template(track)
        packets = [packet for packet in whole.demux(track) if packet.size]
        if filtered_by is not None:
            bitstream_filter = BitStreamFilterContext(filtered_by, track, stream)
            packets = [done for packet in [*packets, None] for done in bitstream_filter.filter(packet)]
        for packet in change(packets):
            packet.stream = stream
            out.mux(packet)
    return path


def with_presentation_as_decoding(packets: list[Packet]) -> list[Packet]:
    """Packets whose writer knew only when to decode them."""
    first = packets[0].dts
    for packet in packets:
        packet.dts -= first
        packet.pts = packet.dts
    return packets


def begun_at_second_keyframe(packets: list[Packet]) -> list[Packet]:
    """The packets of a recording that begins where the second group of pictures does."""
    keyframes = [position for position, packet in enumerate(packets) if packet.is_keyframe]
    return packets[keyframes[1] :]


def with_hevc_orientation(is_mirrored: bool, quarter_turns: int) -> Callable[[list[Packet]], list[Packet]]:  # noqa: FBT001
    """A change that puts a display orientation message before the first picture of HEVC with start codes."""
    fields = f"0{int(is_mirrored)}0{quarter_turns * 16384:016b}0" + "1"
    payload = int(fields.ljust(24, "0"), 2).to_bytes(3)
    message = b"\0\0\0\1\x4e\x01" + bytes([47, len(payload)]) + payload + b"\x80"

    def change(packets: list[Packet]) -> list[Packet]:
        first, content = packets[0], bytes(packets[0])
        # Before the first slice: a unit whose type is below 32.
        starts = [start for start in range(len(content) - 3) if content[start : start + 3] == b"\0\0\1"]
        slice_start = next(start for start in starts if (content[start + 3] >> 1) & 0x3F < 32)
        new = Packet(content[:slice_start] + message[1:] + content[slice_start:])
        new.pts, new.dts, new.time_base, new.is_keyframe = first.pts, first.dts, first.time_base, True
        return [new, *packets[1:]]

    return change


def units(path: Path) -> Iterator[tuple[bytes, int, int, bool]]:
    """(bytes with start codes, pts, dts, is keyframe) of each picture of an H.264 or HEVC file, in 90 kHz ticks."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        name = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}[stream.codec_context.codec.canonical_name]
        to_start_codes = BitStreamFilterContext(name, stream)
        for packet in [*(packet for packet in container.demux(stream) if packet.size), None]:
            for done in to_start_codes.filter(packet):
                scale = done.time_base * 90_000
                yield bytes(done), int(done.pts * scale), int(done.dts * scale), done.is_keyframe


def program_stream(path: Path, source: Path, pictures_per_packet: int, *, stream_type: int = 0x1B) -> Path:
    """An MPEG program stream whose PES packets hold several pictures each, and the time of the first alone."""
    pictures = list(units(source))
    content = b"\0\0\1\xba" + bytes([0x44, 0, 4, 0, 4, 1, 0, 1, 0x89, 0xC3, 0xF8])
    # A program stream map tells which codec the stream is of.
    stream_map = bytes([0xE1, 0xFF, 0, 0, 0, 4, stream_type, 0xE0, 0, 0]) + bytes(4)
    content += b"\0\0\1\xbc" + len(stream_map).to_bytes(2) + stream_map
    for start in range(0, len(pictures), pictures_per_packet):
        group = pictures[start : start + pictures_per_packet]
        data = b"".join(picture for picture, *_ in group)
        header = bytes([0x80, 0xC0, 10]) + _timestamp(3, 90_000 + group[0][1]) + _timestamp(1, 90_000 + group[0][2])
        content += b"\0\0\1\xe0" + (len(header) + len(data)).to_bytes(2) + header + data
    path.write_bytes(content + b"\0\0\1\xb9")
    return path


def _timestamp(marker: int, ticks: int) -> bytes:
    return bytes(
        [
            (marker << 4) | ((ticks >> 30) & 7) << 1 | 1,
            (ticks >> 22) & 0xFF,
            ((ticks >> 15) & 0x7F) << 1 | 1,
            (ticks >> 7) & 0xFF,
            (ticks & 0x7F) << 1 | 1,
        ]
    )


def dahua(path: Path, source: Path) -> Path:
    """A recording of a Dahua camera: each picture between a header and a trailer that state its length."""
    content = b""
    for number, (data, pts, _, is_keyframe) in enumerate(units(source)):
        # Size in units of 8 pixels and codec and rate, each behind a byte that names it.
        about = bytes([0x80, 0, 64 // 8, 48 // 8, 0x81, 0, 2, 25])
        size = 24 + len(about) + len(data) + 8
        kind = 0xFD if is_keyframe else 0xFC
        milliseconds = pts // 90
        seconds = 0x6AFA3000 + milliseconds // 1000
        header = b"DHAV" + struct.pack("<BBBBIIIHBB", kind, 0, 0, 0, number, size, seconds, milliseconds % 1000, 8, 0)
        content += header + about + data + b"dhav" + size.to_bytes(4, "little")
    path.write_bytes(content)
    return path


def box(kind: bytes, content: bytes) -> bytes:
    """A box of MP4."""
    return (8 + len(content)).to_bytes(4) + kind + content


def with_box(path: Path, inside: Sequence[bytes], new: bytes) -> Path:
    """Add a box to an MP4 whose index lies behind its pictures, at the end of the box at `inside`; the last track's."""
    content = bytearray(path.read_bytes())
    position, ends = 0, []
    for kind in inside:
        position = content.rindex(kind, position) if kind == b"trak" else content.index(kind, position)
        ends.append(position - 4)
    end = ends[-1] + int.from_bytes(content[ends[-1] : ends[-1] + 4])
    content[end:end] = new
    for start in ends:
        content[start : start + 4] = (int.from_bytes(content[start : start + 4]) + len(new)).to_bytes(4)
    path.write_bytes(content)
    return path


def clean_aperture(width: int, height: int, right_by: int = 0, down_by: int = 0) -> bytes:
    """A clean aperture box: the shown size, and how far its centre lies from the picture's."""
    return box(b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, right_by, 1, down_by, 1))


SAMPLE_ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")


def with_equal_times(path: Path) -> Path:
    """Let each picture of an MP4 last no time at all (all deltas in its `stts` box are 0)."""
    content = bytearray(path.read_bytes())
    start = content.index(b"stts")
    for entry in range(int.from_bytes(content[start + 8 : start + 12])):
        content[start + 16 + 8 * entry : start + 20 + 8 * entry] = bytes(4)
    path.write_bytes(content)
    return path


def _element(identifier: int, content: bytes | float) -> bytes:
    if isinstance(content, int):
        content = content.to_bytes(max(1, (content.bit_length() + 7) // 8))
    elif isinstance(content, float):
        content = struct.pack(">d", content)
    size = (len(content) | 1 << 56).to_bytes(8)
    return identifier.to_bytes((identifier.bit_length() + 7) // 8) + size + content


def matroska(
    path: Path,
    source: Path,
    *,
    shift_seconds: float = 0.0,
    duration_seconds: float | None = None,
    video: Mapping[int, int | float | bytes] | None = None,
    is_encrypted: bool = False,
) -> Path:
    """The H.264 track of `source` in Matroska, later by `shift_seconds`, with more elements in its `Video`."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        blocks = [
            (round((packet.pts * packet.time_base + Fraction(shift_seconds)) * 1000), packet.is_keyframe, bytes(packet))
            for packet in packets
        ]
        context = stream.codec_context
        entries = _element(0xB0, context.width) + _element(0xBA, context.height)
        entries += b"".join(_element(identifier, value) for identifier, value in (video or {}).items())
        track = _element(0xD7, 1) + _element(0x73C5, 1) + _element(0x83, 1) + _element(0x86, b"V_MPEG4/ISO/AVC")
        track += _element(0x23E383, 125_000_000) + _element(0x63A2, context.extradata or b"") + _element(0xE0, entries)
    if is_encrypted:
        encryption = _element(0x5035, _element(0x47E1, 5) + _element(0x47E2, b"0123456789abcdef"))
        track += _element(0x6D80, _element(0x6240, _element(0x5033, 1) + encryption))
    information = _element(0x2AD7B1, 1_000_000) + _element(0x4D80, b"tests") + _element(0x5741, b"tests")
    if duration_seconds is not None:
        information += _element(0x4489, duration_seconds * 1000)
    clusters = b"".join(
        _element(0x1F43B675, _element(0xE7, time) + _element(0xA3, bytes([0x81, 0, 0, 0x80 * is_keyframe]) + data))
        for time, is_keyframe, data in blocks
    )
    header = _element(0x1A45DFA3, _element(0x4282, b"matroska") + _element(0x4287, 4) + _element(0x4285, 2))
    segment = _element(0x1549A966, information) + _element(0x1654AE6B, _element(0xAE, track)) + clusters
    path.write_bytes(header + _element(0x18538067, segment))
    return path


CROP_BOTTOM, CROP_TOP, CROP_LEFT, CROP_RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD
PROJECTION = 0x7670


def projection(roll: float, yaw: float) -> bytes:
    """Matroska's projection of a flat picture, turned counter-clockwise by `roll`; a yaw of 180 mirrors it."""
    return _element(0x7671, 0) + _element(0x7673, yaw) + _element(0x7674, 0.0) + _element(0x7675, roll)


def tracks(path: Path, *sources: Path, default: Sequence[int] = ()) -> Path:
    """The video tracks of `sources` in one file, those at `default` marked as the ones to show."""
    with av.open(str(path), "w") as out:
        opened = [av.open(str(source)) for source in sources]
        streams: list[VideoStream] = []
        for number, source in enumerate(opened):
            stream = out.add_stream_from_template(source.streams.video[0])
            stream.disposition = av.stream.Disposition.default if number in default else av.stream.Disposition(0)
            streams.append(stream)
        for source, stream in zip(opened, streams, strict=True):
            for packet in source.demux(source.streams.video[0]):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
        for source in opened:
            source.close()
    return path


def levels_in(path: Path, levels: Sequence[int], **options: object) -> Path:
    """`painted`, with lossless B-frames as recorders write them unless options say otherwise."""
    return painted(path, levels, **({"options": B_FRAMES} | options))
