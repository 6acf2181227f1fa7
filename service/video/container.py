"""Opens a video file without letting it do harm, and reads what its header states. Decodes nothing."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from service.video.clip import DecodeLimits
from service.video.crop import Crop
from service.video.errors import UnreadableVideo, UnsupportedVideo, VideoTooLarge
from service.video.file_kind import file_kind
from service.video.matroska import MatroskaTrack, matroska_facts
from service.video.mp4 import Mp4Track, mp4_tracks
from service.video.orientation import Orientation
from service.video.timeline import Timeline
from service.video.transport_stream import is_scrambled

CONTAINERS = {
    "apng": "apng",
    "asf": "asf",
    "avi": "avi",
    "dhav": "dav",
    "dv": "dv",
    "flv": "flv",
    "gif": "gif",
    "h264": "h264",
    "hevc": "hevc",
    "ivf": "ivf",
    "matroska,webm": "matroska",
    "mov,mp4,m4a,3gp,3g2,mj2": "mp4",
    "mpeg": "mpeg",
    "mpegts": "mpegts",
    "mpegvideo": "mpegvideo",
    "mxf": "mxf",
    "nut": "nut",
    "ogg": "ogg",
    "yuv4mpegpipe": "y4m",
}
"""FFmpeg demuxers allowed to open a file, and our names for them. Playlists, SDP, subtitles, text and
still images are not among them: several of those make the demuxer read other files or open sockets."""

JUMPABLE_CODECS = frozenset(
    [
        *("av1", "dvvideo", "ffv1", "flv1", "h263", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4"),
        *("msmpeg4v2", "msmpeg4v3", "prores", "theora", "vc1", "vp8", "vp9", "wmv1", "wmv2", "wmv3"),
        # Each picture of these stands for itself.
        *("cfhd", "dnxhd", "ffvhuff", "huffyuv", "jpeg2000", "magicyuv", "r210", "rawvideo", "utvideo", "v210", "v410"),
    ]
)
"""Codecs in which decoding may begin at any picture that is marked as a keyframe and turns out to be one."""

CODECS = JUMPABLE_CODECS | frozenset(
    [
        *("apng", "cinepak", "fraps", "gif", "h261", "lagarith", "mjpegb", "msrle", "msvideo1"),
        *("png", "qtrle", "rpza", "svq1", "svq3", "zmbv"),
    ]
)

_MAIN_CONTAINERS = "MP4, QuickTime, Matroska, WebM, AVI, MPEG-TS, MPEG-PS, MXF, FLV, ASF, Ogg, GIF"
_MAIN_CODECS = "H.264, HEVC, VP8, VP9, AV1, MPEG-2, MPEG-4, Motion JPEG, ProRes, DNxHD, FFV1"
_CONVERSION = "ffmpeg -i INPUT -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4"

_OPEN_OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}

_IMAGE_CONTAINERS = {"apng": "APNG", "gif": "GIF"}
_STILL_IMAGE_BRANDS = frozenset({"avif", "avis", "heic", "heim", "heis", "heix", "hevc", "hevx", "mif1", "msf1"})
"""Brands of MP4 whose files hold still images, and perhaps a sequence of them as a track."""

_MIN_SHARE_OF_LONGEST_TRACK = 0.1
"""A track with fewer pictures than this share of the longest one's is a thumbnail or a trailer."""

_ALIGNMENT_PIXELS = 64
_MAX_CODING_BLOCK_PIXELS = 64
_HEADER_UNTRUE_FACTOR = 2
_MIN_DECODER_PIXELS = 1 << 20
"""Some decoders hold their scratch memory against the same limit: a lower one fails for small pictures."""


@dataclass(frozen=True, slots=True)
class OpenedTrack:
    """The picture track that is decoded, in its open container.

    `crop` is the cropping that the container asks for, and `orientation` the one of its header. `is_whole` is true
    where the container states its own size, and the file has it. `other_tracks` describes the picture tracks that are
    not decoded.
    """

    container: InputContainer
    stream: VideoStream
    crop: Crop
    orientation: Orientation
    is_whole: bool
    other_tracks: tuple[str, ...]


def open_track(path: Path, limits: DecodeLimits, index: int | None = None) -> OpenedTrack:
    """Open `path` and the picture track that a player would show, or that of stream `index`; the caller closes it.

    Raises:
        UnsupportedVideo: not a video, or a container or codec that is not allowed.
        UnreadableVideo: a video container that is too damaged to open.
        VideoTooLarge: the header claims more pixels than allowed.
    """
    container = _opened(path)
    try:
        tracks = _picture_tracks(container)
        if index is None:
            num_packets = _num_packets(path, tracks, limits.max_packets) if len(tracks) > 1 else {}
            stream = _track_to_show(tracks, num_packets)
            _refuse_still_image(container, stream)
        else:
            num_packets, stream = {}, next(track for track in tracks if track.index == index)
        _limit_pixels(stream.codec_context, limits.max_pixels_per_frame)
        # Cropping at the left edge is exact only if pixels may begin anywhere in memory.
        stream.codec_context.options |= {"flags": "+unaligned"}
        crop, orientation, is_whole = _container_facts(path, container, stream)
        others = tuple(
            f"{_position(tracks, track)} ({_description(track)}, {num_packets.get(track.index, 0)} pictures)"
            for track in tracks
            if track.index != stream.index and not _is_still_image(container, track)
        )
    except BaseException:
        container.close()
        raise
    return OpenedTrack(container, stream, crop, orientation, is_whole, others)


def codec_name(stream: VideoStream) -> str:
    """The codec's name, whichever library decodes it (`av1`, not `libdav1d`)."""
    return stream.codec_context.codec.canonical_name


def claimed_end_seconds(track: OpenedTrack, timeline: Timeline) -> float | None:
    """How long the picture track lasts by its header, from its first frame, or None where the header does not say."""
    container, stream = track.container, track.stream
    if _is_matroska(container):
        end_seconds = _matroska_end_seconds(container, stream)
        return None if end_seconds is None else end_seconds - max(timeline.start_seconds, 0.0)
    if container.format.name == "asf" and len(container.streams) > 1:
        # The length of the file, whichever of its tracks is the longest.
        return None
    if _is_avi(container) and stream.frames and stream.time_base is not None:
        # Its count holds the empty pictures that stand where nothing moves; each has a place in time.
        return float(stream.frames * stream.time_base) - max(timeline.start_seconds, 0.0)
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base) - timeline.seconds_never_shown
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base - timeline.seconds_never_shown
    return None


def _matroska_end_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """When the picture track ends by its header, from the file's zero."""
    # The whole file's length is the picture track's only if that is alone; some writers add each track's own as a
    # tag, "00:00:02.500000000".
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    return container.duration / av.time_base if container.duration is not None and len(container.streams) == 1 else None


def claimed_num_packets(container: InputContainer, stream: VideoStream) -> int | None:
    """How many packets index or header promise of the picture track, or None where they do not say."""
    if container.format.name.startswith("mov"):
        return len(stream.index_entries)
    return None if _is_avi(container) else stream.frames or None


def way_out() -> str:
    """What is supported, and one command that converts a file to it."""
    return (
        f"Supported containers: {_MAIN_CONTAINERS}. Supported codecs: {_MAIN_CODECS}; GET /capabilities lists all. "
        f"To convert the file: {_CONVERSION}"
    )


def encrypted(kind: str) -> UnsupportedVideo:
    """The error for an encrypted track of a codec."""
    return UnsupportedVideo(
        f"The {kind} track is encrypted (protected by DRM or scrambled) and cannot be decoded. "
        "Export or record the video without encryption."
    )


def unreadable(path: Path, track: OpenedTrack, fact: str) -> UnreadableVideo | UnsupportedVideo:
    """The error for a track of which nothing can be used: that it `fact`, or that it is scrambled."""
    if track.container.format.name == "mpegts" and is_scrambled(path):
        return encrypted(codec_name(track.stream))
    return UnreadableVideo(f"The {codec_name(track.stream)} {fact}")


def _opened(path: Path) -> InputContainer:
    try:
        return av.open(str(path.resolve()), metadata_errors="ignore", container_options=_OPEN_OPTIONS)
    except (av.error.FFmpegError, MemoryError, OverflowError) as error:
        if any(track.is_encrypted for track in mp4_tracks(path).values()):
            raise encrypted("video") from error
        kind = file_kind(path, CONTAINERS)
        raise (
            UnreadableVideo(kind.sentence)
            if kind.is_supported
            else UnsupportedVideo(f"This is not a video in a supported container. {kind.sentence} {way_out()}")
        ) from error


def _limit_pixels(context: VideoCodecContext, max_pixels: int) -> None:
    if context.width * context.height > max_pixels:
        raise VideoTooLarge(
            f"{context.width}x{context.height} pixels per frame are more than the allowed {max_pixels}."
        )
    # The header may lie: this refuses a far larger frame before a buffer for it exists. FFmpeg counts pixels after
    # rounding each side up to whole coding blocks and memory lines.
    padded = [
        -(-(side + _MAX_CODING_BLOCK_PIXELS) // _ALIGNMENT_PIXELS) * _ALIGNMENT_PIXELS
        for side in (context.width, context.height)
    ]
    pixels = max(_HEADER_UNTRUE_FACTOR * max_pixels, padded[0] * padded[1], _MIN_DECODER_PIXELS)
    context.options = {"max_pixels": str(pixels)}


def _picture_tracks(container: InputContainer) -> list[VideoStream]:
    tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
    if not tracks:
        kinds: list[str] = sorted({track.type for track in container.streams}) or ["no"]
        raise UnsupportedVideo(f"The file has no picture track: it holds {' and '.join(kinds)} tracks. {way_out()}")
    return tracks


def _track_to_show(tracks: list[VideoStream], num_packets: dict[int, int]) -> VideoStream:
    """The track that a player would show: of those with most of the content, the one marked as default, or the first.

    Raises:
        UnsupportedVideo: no such track has a codec that is allowed.
    """
    longest = max(num_packets.values(), default=0)
    main = [track for track in tracks if num_packets.get(track.index, 0) >= _MIN_SHARE_OF_LONGEST_TRACK * longest]
    # Sorting keeps the order of equals.
    main.sort(key=lambda track: not track.disposition & Disposition.default)
    allowed = [track for track in main if _is_allowed(track)]
    if allowed:
        return allowed[0]
    # Damaged or exotic files open without a decoder; PyAV then has no codec context to offer.
    if main[0].codec_context is None:
        raise UnsupportedVideo(f"The video's codec is not known. {way_out()}")
    raise UnsupportedVideo(f"Videos coded as {codec_name(main[0])} are not supported. {way_out()}")


def _is_allowed(track: VideoStream) -> bool:
    return track.codec_context is not None and codec_name(track) in CODECS


def _num_packets(path: Path, tracks: list[VideoStream], max_packets: int) -> dict[int, int]:
    """How many packets each track has, as far as the file can be read and up to `max_packets` in all."""
    counts: Counter[int] = Counter()
    with _opened(path) as container:
        streams = [container.streams[track.index] for track in tracks]
        try:
            for packet in container.demux(*streams):
                counts[packet.stream_index] += packet.size > 0
                if counts.total() > max_packets:
                    break
        except (av.error.FFmpegError, MemoryError, OverflowError):
            pass
    return dict(counts)


def _refuse_still_image(container: InputContainer, stream: VideoStream) -> None:
    """Raise UnsupportedVideo for a file of images that holds but one."""
    kind = _IMAGE_CONTAINERS.get(container.format.name)
    brand = container.metadata.get("major_brand", "").strip()
    if kind is None and brand in _STILL_IMAGE_BRANDS:
        kind = brand.upper()
        if len(stream.index_entries) > 1:
            return
    elif kind is None or _has_several_packets(container, stream):
        return
    raise UnsupportedVideo(f"This is a still image ({kind}), not a video. {way_out()}")


def _is_still_image(container: InputContainer, track: VideoStream) -> bool:
    """Whether a track is the still image that stands for a sequence of them, as in AVIF."""
    brand = container.metadata.get("major_brand", "").strip()
    return brand in _STILL_IMAGE_BRANDS and len(track.index_entries) <= 1


def _has_several_packets(container: InputContainer, stream: VideoStream) -> bool:
    with _opened(Path(container.name)) as again:
        try:
            packets = (packet for packet in again.demux(again.streams[stream.index]) if packet.size)
            return next(packets, None) is not None and next(packets, None) is not None
        except (av.error.FFmpegError, MemoryError, OverflowError):
            return False


def _container_facts(path: Path, container: InputContainer, stream: VideoStream) -> tuple[Crop, Orientation, bool]:
    """The cropping and orientation that the container asks for, and whether the file has the size that it states."""
    facts: Mp4Track | MatroskaTrack = Mp4Track()
    is_whole = False
    if container.format.name.startswith("mov"):
        facts = mp4_tracks(path).get(stream.id, facts)
    elif _is_matroska(container):
        file = matroska_facts(path)
        tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
        facts = next(iter(file.tracks[_position(tracks, stream) - 1 :]), facts)
        is_whole = file.is_whole
    if facts.is_encrypted:
        raise encrypted(codec_name(stream))
    return facts.crop, facts.orientation, is_whole


def _is_matroska(container: InputContainer) -> bool:
    return container.format.name == "matroska,webm"


def _is_avi(container: InputContainer) -> bool:
    return container.format.name == "avi"


def _position(tracks: list[VideoStream], track: VideoStream) -> int:
    return 1 + next(position for position, other in enumerate(tracks) if other.index == track.index)


def _description(track: VideoStream) -> str:
    context = track.codec_context
    return "unknown codec" if context is None else f"{codec_name(track)}, {context.width}x{context.height}"
