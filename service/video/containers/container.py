"""Opens untrusted video files with allow lists of containers and codecs."""

from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from service.video.containers.file_kind import file_kind
from service.video.containers.mp4 import mp4_tracks
from service.video.errors import UnreadableVideo, UnsupportedVideo, VideoTooLarge

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
"""Allowed FFmpeg demuxers, and their names in the API. Playlists, SDP, subtitles, text and still images are excluded:
several of these demuxers read other files or open sockets. To add a container: docs/video-formats.md."""

JUMPABLE_CODECS = frozenset(
    [
        *("av1", "dvvideo", "ffv1", "flv1", "h263", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4"),
        *("msmpeg4v2", "msmpeg4v3", "prores", "theora", "vc1", "vp8", "vp9", "wmv1", "wmv2", "wmv3"),
        # Codecs in which each picture decodes independently.
        *("cfhd", "dnxhd", "ffvhuff", "huffyuv", "jpeg2000", "magicyuv", "r210", "rawvideo", "utvideo", "v210", "v410"),
    ]
)
"""Codecs in which decoding can start at each true keyframe."""

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

_ALIGNMENT_PIXELS = 64
_MAX_CODING_BLOCK_PIXELS = 64
_MAX_FACTOR_OVER_LIMIT = 2
"""A picture larger than its header states: FFmpeg refuses it beyond this factor, `FrameDecoder` below it."""
_MIN_DECODER_PIXELS = 1 << 20
"""Some decoders count scratch memory in the same limit: with a lower limit, small pictures fail."""


def codec_name(stream: VideoStream) -> str:
    """Name of the codec, independent of the decoder library (`av1`, not `libdav1d`)."""
    return stream.codec_context.codec.canonical_name


def conversion_advice() -> str:
    """Text for error messages: the supported formats, and a command that converts a file."""
    return (
        f"Supported containers: {_MAIN_CONTAINERS}. Supported codecs: {_MAIN_CODECS}; GET /capabilities lists all. "
        f"To convert the file: {_CONVERSION}"
    )


def encrypted_error(kind: str) -> UnsupportedVideo:
    """The error for an encrypted track; `kind` names its codec."""
    return UnsupportedVideo(
        f"The {kind} track is encrypted (protected by DRM or scrambled) and cannot be decoded. "
        "Export or record the video without encryption."
    )


def open_container(path: Path) -> InputContainer:
    """Open the file at `path`; the caller closes it.

    Raises:
        UnsupportedVideo: the file is not a video, or its container is not allowed.
        UnreadableVideo: the container is allowed, but too damaged to open.
    """
    try:
        return av.open(str(path.resolve()), metadata_errors="ignore", container_options=_OPEN_OPTIONS)
    except (av.error.FFmpegError, MemoryError, OverflowError) as error:
        if any(track.is_encrypted for track in mp4_tracks(path).values()):
            raise encrypted_error("video") from error
        kind = file_kind(path, CONTAINERS)
        raise (
            UnreadableVideo(kind.sentence)
            if kind.is_supported
            else UnsupportedVideo(f"{kind.sentence} {conversion_advice()}")
            if path.stat().st_size == 0
            else UnsupportedVideo(
                f"This is not a video in a supported container. {kind.sentence} {conversion_advice()}"
            )
        ) from error


def limit_pixels(context: VideoCodecContext, max_pixels: int) -> None:
    """Make the decoder refuse pictures far larger than `max_pixels` before it allocates a buffer for them.

    Raises:
        VideoTooLarge: the header states more than `max_pixels` pixels.
    """
    if context.width * context.height > max_pixels:
        raise VideoTooLarge(
            f"A frame of {context.width}x{context.height} pixels is larger than the limit of {max_pixels} pixels."
        )
    # FFmpeg rounds each side up to whole coding blocks and memory lines before it counts pixels.
    padded = [
        -(-(side + _MAX_CODING_BLOCK_PIXELS) // _ALIGNMENT_PIXELS) * _ALIGNMENT_PIXELS
        for side in (context.width, context.height)
    ]
    pixels = max(_MAX_FACTOR_OVER_LIMIT * max_pixels, padded[0] * padded[1], _MIN_DECODER_PIXELS)
    context.options = {"max_pixels": str(pixels)}
