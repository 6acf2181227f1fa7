"""The packets of a video's picture track: read once for their timestamps, and again to be decoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from service.video.bitstream import hevc_length_bytes, hevc_temporal_layer, is_hidden
from service.video.clip import DecodeLimits
from service.video.container import codec_name, open_stream
from service.video.errors import UnreadableVideo, VideoTooLarge
from service.video.timeline import PacketFacts, Timeline

VideoPacket: TypeAlias = "Packet[VideoStream]"

FILE_FAULTS = (av.error.FFmpegError, MemoryError, OverflowError)
"""What FFmpeg raises over a bad file."""

_MAX_KEPT_BYTES = 16 << 20
"""Packets of a file up to this size stay in memory. A larger one is opened a second time, which
costs up to 20 ms: little beside decoding it."""


class PacketReader:
    """Hands out the same packets as often as asked, in file order."""

    def __init__(self, path: Path, limits: DecodeLimits, container: InputContainer, stream: VideoStream) -> None:
        self._path = path
        self._limits = limits
        self._container = container
        self._stream = stream
        self._kept: list[VideoPacket] | None = None

    def read_timeline(self) -> Timeline:
        """Read every packet to the end of the file, and decode none.

        Raises:
            UnreadableVideo: no packet holds a frame to show.
            VideoTooLarge: more packets or seconds than allowed.
        """
        facts: list[PacketFacts] = []
        kept: list[VideoPacket] | None = []
        num_bytes = num_errors = 0
        facts_of = _PacketFactsReader(self._stream)
        try:
            for packet in _demuxed(self._container, self._stream):
                facts.append(facts_of(packet))
                num_errors += packet.is_corrupt
                num_bytes += packet.size
                if len(facts) > self._limits.max_packets:
                    raise VideoTooLarge(f"The video has more than the allowed {self._limits.max_packets} packets.")
                if kept is not None:
                    kept.append(packet)
                    if num_bytes > _MAX_KEPT_BYTES:
                        kept = None
        except FILE_FAULTS:
            num_errors += 1
        self._kept = kept
        if all(fact.is_discarded for fact in facts):
            raise UnreadableVideo(f"The {codec_name(self._stream)} track holds no frame.")
        return self._timeline(facts, num_errors)

    def packets(self) -> Iterator[VideoPacket]:
        """Yield the packets of `read_timeline` again; raises what FFmpeg raises."""
        if self._kept is not None:
            yield from self._kept
            return
        # Not every container can seek back exactly.
        container, stream = open_stream(self._path, self._limits)
        with container:
            yield from _demuxed(container, stream)

    @contextmanager
    def fresh_decoder(self) -> Iterator[VideoCodecContext]:
        """A decoder of the track, with one thread, that has not seen any packet; raises as `open_stream`."""
        container, stream = open_stream(self._path, self._limits)
        with container:
            stream.codec_context.thread_count = 1
            yield stream.codec_context

    def _timeline(self, facts: list[PacketFacts], num_errors: int) -> Timeline:
        stream = self._stream
        # AVI has no times of presentation.
        can_reorder = self._container.format.name == "avi" and stream.codec_context.has_b_frames
        rate = stream.average_rate or stream.guessed_rate
        timeline = Timeline.from_packets(
            facts,
            float(stream.time_base or 0),
            float(rate) if rate else None,
            num_errors,
            can_reorder_silently=can_reorder,
        )
        seconds, max_seconds = timeline.duration_seconds, self._limits.max_duration_seconds
        if seconds > max_seconds:
            raise VideoTooLarge(f"The video lasts {seconds:.1f} s; at most {max_seconds:g} s are allowed.")
        return timeline


class _PacketFactsReader:
    def __init__(self, stream: VideoStream) -> None:
        self._codec = codec_name(stream)
        self._num_length_bytes = hevc_length_bytes(stream.codec_context.extradata)

    def __call__(self, packet: VideoPacket) -> PacketFacts:
        layer = 0
        is_discarded = packet.is_discard
        if self._codec in ("vp8", "vp9"):
            is_discarded = is_discarded or is_hidden(self._codec, memoryview(packet))
        elif self._codec == "hevc":
            layer = hevc_temporal_layer(memoryview(packet), self._num_length_bytes)
        return PacketFacts(
            pts=packet.pts,
            duration=packet.duration or 0,
            is_keyframe=packet.is_keyframe,
            is_discarded=is_discarded,
            dts=packet.dts,
            temporal_layer=layer,
            is_new_setup=packet.has_sidedata("new_extradata"),
        )


def _demuxed(container: InputContainer, stream: VideoStream) -> Iterator[VideoPacket]:
    for other in container.streams:
        other.discard = Discard.default if other.index == stream.index else Discard.all
    for packet in container.demux(stream):
        if packet.size:
            yield packet
