"""Opens a video file without letting it do harm, and says what its header claims. Decodes nothing."""

import re
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from service.video.clip import DecodeLimits
from service.video.errors import UnreadableVideo, UnsupportedVideo, VideoTooLarge

CONTAINERS = {
    "asf": "asf",
    "avi": "avi",
    "flv": "flv",
    "matroska,webm": "matroska",
    "mov,mp4,m4a,3gp,3g2,mj2": "mp4",
    "mpeg": "mpeg",
    "mpegts": "mpegts",
    "ogg": "ogg",
}
"""FFmpeg demuxers allowed to open a file, and what we call them. Playlists, SDP, subtitles, text and
images are not among them: several of those make the demuxer read other files or open sockets."""

CODECS = frozenset(
    [
        *("av1", "dvvideo", "ffv1", "flv1", "h263", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4"),
        *("msmpeg4v2", "msmpeg4v3", "prores", "theora", "vc1", "vp8", "vp9", "wmv1", "wmv2", "wmv3"),
    ]
)

_OPEN_OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}

_STILL_IMAGE_BRANDS = frozenset({"avif", "avis", "heic", "heim", "heis", "heix", "hevc", "hevx", "mif1", "msf1"})

# (offset, bytes there, what such a file is): used only to say *why* a file could not be opened.
_SIGNATURES = (
    (4, b"ftyp", "MP4"),
    (4, b"moov", "QuickTime"),
    (4, b"mdat", "QuickTime"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (8, b"AVI ", "AVI"),
    (0, b"FLV\x01", "FLV"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF"),
)


def open_stream(path: Path, limits: DecodeLimits) -> tuple[InputContainer, VideoStream]:
    """Open `path` and its first picture track; the caller closes the container.

    Of several tracks the first is taken; cover pictures are not tracks.

    Raises:
        UnsupportedVideo: not a video, or a container or codec that is not allowed.
        UnreadableVideo: a video container that is too damaged to open.
        VideoTooLarge: the header claims more pixels than allowed.
    """
    try:
        container = av.open(str(path.resolve()), metadata_errors="ignore", container_options=_OPEN_OPTIONS)
    except (av.error.FFmpegError, MemoryError, OverflowError) as error:
        raise _why_not_opened(path) from error
    try:
        stream = _picture_track(container)
        _limit_pixels(stream.codec_context, limits.max_pixels_per_frame)
    except BaseException:
        container.close()
        raise
    return container, stream


def codec_name(stream: VideoStream) -> str:
    """The codec's name, whichever library decodes it (`av1`, not `libdav1d`)."""
    return stream.codec_context.codec.canonical_name


def claimed_duration_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """How long the header says the picture track is, or None where it does not say."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    # Matroska states the whole file's length, which is the picture track's only if it is alone;
    # some writers add each track's own as a tag, "00:00:02.500000000".
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def claimed_num_packets(container: InputContainer, stream: VideoStream) -> int | None:
    """How many packets index or header promise of the picture track, or None where they do not say."""
    if container.format.name.startswith("mov"):
        return len(stream.index_entries)
    return stream.frames or None


def _limit_pixels(context: VideoCodecContext, max_pixels: int) -> None:
    if context.width * context.height > max_pixels:
        raise VideoTooLarge(
            f"{context.width}x{context.height} pixels per frame are more than the allowed {max_pixels}."
        )
    # The header may lie: this refuses a larger frame before a buffer for it exists.
    context.options = {"max_pixels": str(max_pixels)}


def _picture_track(container: InputContainer) -> VideoStream:
    brand = container.metadata.get("major_brand", "").strip()
    if brand in _STILL_IMAGE_BRANDS:
        raise UnsupportedVideo(f"This is a still image ({brand}), not a video.")
    tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
    if not tracks:
        kinds: list[str] = sorted({track.type for track in container.streams}) or ["no"]
        raise UnsupportedVideo(f"The file has no picture track: it holds {' and '.join(kinds)} tracks.")
    # Damaged or exotic files open without a decoder; PyAV then has no codec context to offer.
    if tracks[0].codec_context is None:
        raise UnsupportedVideo("The video's codec is not known.")
    codec = codec_name(tracks[0])
    if codec not in CODECS:
        raise UnsupportedVideo(f"Videos coded as {codec} are not supported.")
    return tracks[0]


def _why_not_opened(path: Path) -> UnsupportedVideo | UnreadableVideo:
    with path.open("rb") as file:
        head = file.read(16)
    for offset, signature, name in _SIGNATURES:
        if head[offset:].startswith(signature):
            return UnreadableVideo(
                f"This looks like {name}, but it cannot be opened: the file is incomplete or damaged."
            )
    return UnsupportedVideo("This is not a video in a supported container.")
