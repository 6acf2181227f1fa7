"""Selects the video track that a player would show, and reads its properties from the container's header."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from service.video.clip import DecodeLimits
from service.video.containers.container import (
    CODECS,
    codec_name,
    conversion_advice,
    encrypted_error,
    limit_pixels,
    open_container,
)
from service.video.containers.matroska import MatroskaTrack, matroska_facts
from service.video.containers.mp4 import Mp4Track, holds_images, mp4_tracks
from service.video.containers.transport_stream import is_scrambled
from service.video.crop import Crop
from service.video.errors import UnreadableVideo, UnsupportedVideo
from service.video.orientation import Orientation

_IMAGE_CONTAINERS = {"apng": "APNG", "gif": "GIF"}
_STILL_IMAGE_BRANDS = frozenset(
    {
        *("mif1", "mif2", "msf1", "miaf", "MA1A", "MA1B", "MiHA", "MiHB", "MiPr", "1pic", "pred", "tmap", "unif"),
        *("avif", "avis", "avio", "heic", "heim", "heis", "heix", "hevc", "hevm", "hevs", "hevx", "avci", "avcs"),
        *("vvic", "vvis", "evbi", "evbs", "evmi", "evms", "jpeg", "jpgs", "j2ki", "j2is", "crx"),
    }
)
"""MP4 brands of files that hold still images, and perhaps an image sequence as a track."""
_UNNAMED_IMAGE_FILE = "HEIF"

_MIN_FRACTION_OF_LONGEST_TRACK = 0.1
"""A track with a smaller fraction of the longest track's pictures is a thumbnail or a trailer."""


@dataclass(frozen=True, slots=True)
class OpenedTrack:
    """The video track to decode, in its open container.

    `crop` and `orientation` are stated by the container. `is_whole` is true if the container states its size and the
    file has it. `other_tracks` describes the video tracks that are not decoded.
    """

    container: InputContainer
    stream: VideoStream
    crop: Crop
    orientation: Orientation
    is_whole: bool
    other_tracks: tuple[str, ...]


def open_track(path: Path, limits: DecodeLimits, index: int | None = None) -> OpenedTrack:
    """Open `path` and select the video track that a player would show, or stream `index`; the caller closes it.

    Raises:
        UnsupportedVideo: the file is not a video, or its container or codec is not allowed.
        UnreadableVideo: the container is allowed, but too damaged to open.
        VideoTooLarge: the header states more pixels than allowed.
    """
    container = open_container(path)
    try:
        tracks = _video_tracks(container)
        if index is None:
            num_packets = _num_packets(path, tracks, limits.max_packets) if len(tracks) > 1 else {}
            moving = [track for track in tracks if not _is_still_image(path, container, track)]
            stream = _track_to_show(moving or tracks, num_packets)
            _reject_still_image(path, container, stream)
        else:
            num_packets, stream = {}, next(track for track in tracks if track.index == index)
        limit_pixels(stream.codec_context, limits.max_pixels_per_frame)
        # Cropping at the left edge is exact only with unaligned pixels.
        stream.codec_context.options |= {"flags": "+unaligned"}
        crop, orientation, is_whole = _container_facts(path, container, stream)
        others = tuple(
            f"{_position(tracks, track)} ({_description(track)}, {num_packets.get(track.index, 0)} pictures)"
            for track in tracks
            if track.index != stream.index and not _is_still_image(path, container, track)
        )
    except BaseException:
        container.close()
        raise
    return OpenedTrack(container, stream, crop, orientation, is_whole, others)


def unreadable_error(path: Path, track: OpenedTrack, fact: str) -> UnreadableVideo | UnsupportedVideo:
    """The error for a track that cannot be decoded: `The CODEC FACT`, or that it is scrambled."""
    if track.container.format.name == "mpegts" and is_scrambled(path):
        return encrypted_error(codec_name(track.stream))
    return UnreadableVideo(f"The {codec_name(track.stream)} {fact}")


def is_matroska(container: InputContainer) -> bool:
    """Whether the container is Matroska or WebM."""
    return container.format.name == "matroska,webm"


def is_avi(container: InputContainer) -> bool:
    """Whether the container is AVI."""
    return container.format.name == "avi"


def _video_tracks(container: InputContainer) -> list[VideoStream]:
    tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
    if not tracks:
        kinds: list[str] = sorted({track.type for track in container.streams}) or ["no"]
        raise UnsupportedVideo(
            f"The file has no video track: it holds {' and '.join(kinds)} tracks. {conversion_advice()}"
        )
    return tracks


def _track_to_show(tracks: list[VideoStream], num_packets: dict[int, int]) -> VideoStream:
    """Select the track that a player would show: the default or first track, thumbnails and trailers excluded.

    Raises:
        UnsupportedVideo: no such track has an allowed codec.
    """
    longest = max(num_packets.values(), default=0)
    main = [track for track in tracks if num_packets.get(track.index, 0) >= _MIN_FRACTION_OF_LONGEST_TRACK * longest]
    main.sort(key=lambda track: not track.disposition & Disposition.default)
    allowed = [track for track in main if _is_allowed(track)]
    if allowed:
        return allowed[0]
    # Damaged or exotic files may open without a decoder, and then have no codec context.
    if main[0].codec_context is None:
        raise UnsupportedVideo(f"The codec of the video is unknown. {conversion_advice()}")
    raise UnsupportedVideo(f"Videos coded as {codec_name(main[0])} are not supported. {conversion_advice()}")


def _is_allowed(track: VideoStream) -> bool:
    return track.codec_context is not None and codec_name(track) in CODECS


def _num_packets(path: Path, tracks: list[VideoStream], max_packets: int) -> dict[int, int]:
    """Count the packets of each track, up to the first damage or `max_packets` in total."""
    counts: Counter[int] = Counter()
    with open_container(path) as container:
        streams = [container.streams[track.index] for track in tracks]
        try:
            for packet in container.demux(*streams):
                counts[packet.stream_index] += packet.size > 0
                if counts.total() > max_packets:
                    break
        except (av.error.FFmpegError, MemoryError, OverflowError):
            pass
    return dict(counts)


def _reject_still_image(path: Path, container: InputContainer, stream: VideoStream) -> None:
    """Raise UnsupportedVideo for an image file with a single image."""
    if (kind := _IMAGE_CONTAINERS.get(container.format.name)) is not None:
        is_still = _num_packets(path, [stream], 1).get(stream.index, 0) <= 1
    else:
        brand = _brand(container)
        kind = brand.upper() if brand in _STILL_IMAGE_BRANDS else _UNNAMED_IMAGE_FILE
        is_still = _is_still_image(path, container, stream)
    if is_still:
        raise UnsupportedVideo(f"This is a still image ({kind}), not a video. {conversion_advice()}")


def _is_still_image(path: Path, container: InputContainer, track: VideoStream) -> bool:
    """Whether a track is an image of an image file, or the single cover image of an image sequence, as in AVIF."""
    if not _is_mp4(container) or len(track.index_entries) > 1:
        return False
    return _brand(container) in _STILL_IMAGE_BRANDS or holds_images(path)


def _is_mp4(container: InputContainer) -> bool:
    return container.format.name.startswith("mov")


def _brand(container: InputContainer) -> str:
    return container.metadata.get("major_brand", "").strip()


def _container_facts(path: Path, container: InputContainer, stream: VideoStream) -> tuple[Crop, Orientation, bool]:
    """Crop and orientation stated by the container, and whether the file has the size that it states."""
    facts: Mp4Track | MatroskaTrack = Mp4Track()
    is_whole = False
    if _is_mp4(container):
        facts = mp4_tracks(path).get(stream.id, facts)
    elif is_matroska(container):
        file = matroska_facts(path)
        tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
        facts = next(iter(file.tracks[_position(tracks, stream) - 1 :]), facts)
        is_whole = file.is_whole
    if facts.is_encrypted:
        raise encrypted_error(codec_name(stream))
    return facts.crop, facts.orientation, is_whole


def _position(tracks: list[VideoStream], track: VideoStream) -> int:
    return 1 + next(position for position, other in enumerate(tracks) if other.index == track.index)


def _description(track: VideoStream) -> str:
    context = track.codec_context
    return "unknown codec" if context is None else f"{codec_name(track)}, {context.width}x{context.height}"
