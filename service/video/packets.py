"""Packets of the video track: read once for their timestamps, and a second time for decoding."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import TypeAlias

import av.error
from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.stream import Discard
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from service.video.clip import DecodeLimits
from service.video.clock import ClockRules, PacketFacts
from service.video.containers.track import OpenedTrack, open_track, unreadable_error
from service.video.errors import VideoTooLarge
from service.video.header_claims import claimed_end_seconds
from service.video.packet_facts import PacketFactsReader
from service.video.timeline import Timeline

VideoPacket: TypeAlias = "Packet[VideoStream]"

FILE_FAULTS = (av.error.FFmpegError, MemoryError, OverflowError)
"""Errors that PyAV raises for a bad file."""

_MAX_KEPT_BYTES = 16 << 20
"""Packets up to this total stay in memory. A larger file is opened a second time, which takes up to 20 ms."""

_MAX_FACTOR_OF_TRACK = 2
_GIF_DELAY = 10
_MAX_PACKETS_BEFORE_FIRST_FRAME = 1000
_MAX_PACKETS_AFTER_FIRST_FRAME = 32


class PacketReader:
    """Reads the packets of a track, any number of times, in file order.

    After `read_timeline`, the timestamp of each packet is its position in `Timeline.packet_order`. A decoded frame
    carries it too, so its packet is known even if the file's timestamps are wrong.
    """

    def __init__(self, path: Path, limits: DecodeLimits, track: OpenedTrack) -> None:
        self._path = path
        self._limits = limits
        self._track = track
        self._kept: list[VideoPacket] | None = None
        self._order: Sequence[int] = ()

    def read_timeline(self) -> Timeline:
        """Read all packets, and decode only the packets up to the first frame that can be shown.

        Raises:
            UnreadableVideo: no packet holds a frame that is shown.
            UnsupportedVideo: the packets are encrypted.
            VideoTooLarge: the video has more packets or seconds than allowed.
        """
        facts: list[PacketFacts] = []
        kept: list[VideoPacket] | None = []
        num_bytes = num_errors = 0
        stream = self._track.stream
        facts_of = PacketFactsReader(stream)
        try:
            for packet in _demux(self._track.container, stream):
                facts.append(facts_of(packet))
                num_bytes += packet.size
                if len(facts) > self._limits.max_packets:
                    raise VideoTooLarge(f"The video has more packets than the limit of {self._limits.max_packets}.")
                if kept is not None:
                    kept.append(packet)
                    if num_bytes > _MAX_KEPT_BYTES:
                        kept = None
        except FILE_FAULTS:
            num_errors += 1
        self._kept = kept
        if all(fact.is_discarded or fact.is_second_field for fact in facts):
            raise unreadable_error(self._path, self._track, "track has no frame.")
        timeline = self._timeline(facts, num_errors, is_reordered=facts_of.is_reordered)
        if facts_of.is_packed:
            timeline = timeline.with_counted_frames()
        self.number_by(timeline)
        if facts_of.may_begin_unshown or timeline.has_pictures_before_first_keyframe or not timeline.is_order_known:
            timeline = self._without_undecodable_start(facts, timeline)
        if facts_of.has_palette:
            # A palette is sent only once, with the first picture that uses it.
            timeline = replace(timeline, can_jump=False)
        timeline = self._with_last_picture_to_end(timeline)
        self._check_duration(timeline)
        self.number_by(timeline)
        return timeline

    def number_by(self, timeline: Timeline) -> None:
        """Number packets by their position in `timeline` from now on."""
        self._order = timeline.packet_order.tolist()

    def packets(self) -> Iterator[VideoPacket]:
        """Yield the packets of `read_timeline` again; raises one of `FILE_FAULTS`."""
        if self._kept is not None:
            yield from _number(self._kept, self._order)
            return
        # Opened again, because not all containers can seek back exactly.
        track = open_track(self._path, self._limits, self._track.stream.index)
        with track.container as container:
            yield from _number(_demux(container, track.stream), self._order)

    @contextmanager
    def fresh_decoder(self) -> Iterator[VideoCodecContext]:
        """A decoder of the track, with one thread, that has not seen any packet; raises as `open_track`."""
        track = open_track(self._path, self._limits, self._track.stream.index)
        with track.container:
            track.stream.codec_context.thread_count = 1
            yield track.stream.codec_context

    def _timeline(self, facts: list[PacketFacts], num_errors: int, *, is_reordered: bool) -> Timeline:
        container, stream = self._track.container, self._track.stream
        rate = stream.average_rate or stream.guessed_rate
        seconds_per_tick = stream.time_base or Fraction(1)
        if container.format.name.startswith("mov") and _exceed_their_track(facts, stream.duration):
            # The index gives each picture the duration of the whole track, so its times are unusable.
            facts = [fact._replace(pts=None, dts=None, duration=0) for fact in facts]
            rate = len(facts) / ((stream.duration or 1) * seconds_per_tick)
        if container.format.name == "gif":
            facts = _with_gif_delays(facts)
        clock = ClockRules(
            seconds_per_tick=float(seconds_per_tick),
            may_leap=Flags.ts_discont in Flags(container.format.flags),
            is_index=container.format.name.startswith("mov"),
            # Matroska has no decode times. FFmpeg derives them, wrongly where the clock goes back.
            has_decode_times=container.format.name != "matroska,webm",
            reorder_depth=max(1, stream.codec_context.reorder_depth) if is_reordered else 0,
        )
        return Timeline.from_packets(facts, clock, float(rate) if rate else None, num_errors)

    def _without_undecodable_start(self, facts: list[PacketFacts], timeline: Timeline) -> Timeline:
        """Remove the frames before the first one that decodes: a recording may begin within a group of pictures."""
        try:
            with self.fresh_decoder() as decoder:
                decoded = self._first_decoded(decoder)
        except FILE_FAULTS:
            return timeline
        if not decoded:
            return timeline
        if timeline.is_order_known:
            first = decoded[0]
            if min(decoded) < first:
                # The first picture has the time of a later one.
                return timeline.with_counted_frames()
            return timeline.starting_at(first) if first <= timeline.frame_order[-1] else timeline
        # With counted frames, the pictures before the first decoded one and directly after it are removed.
        never_shown = set(range(decoded[0])) | set(range(decoded[0] + 1, min(decoded[1:], default=0)))
        if not never_shown:
            return timeline
        left = [
            fact._replace(is_discarded=True) if number in never_shown else fact for number, fact in enumerate(facts)
        ]
        return self._timeline(left, timeline.num_read_errors, is_reordered=True)

    def _first_decoded(self, decoder: VideoCodecContext) -> list[int]:
        """Packet positions of the first frames that decode, in the order in which the decoder returns them."""
        decoded: list[int] = []
        num_left = _MAX_PACKETS_BEFORE_FIRST_FRAME
        for packet in self.packets():
            num_left -= 1
            if not num_left:
                return decoded
            try:
                frames = decoder.decode(packet)
            except FILE_FAULTS:
                continue
            if frames and not decoded:
                num_left = _MAX_PACKETS_AFTER_FIRST_FRAME
            decoded += [frame.pts for frame in frames if frame.pts is not None]
        return decoded + [frame.pts for frame in decoder.decode(None) if frame.pts is not None]

    def _with_last_picture_to_end(self, timeline: Timeline) -> Timeline:
        """Extend the last picture to the end that the header of a complete file states."""
        if not self._track.is_whole or timeline.num_read_errors or timeline.num_clock_restarts:
            return timeline
        end_seconds = claimed_end_seconds(self._track, timeline)
        if end_seconds is None or end_seconds <= timeline.duration_seconds + timeline.slack_seconds:
            return timeline
        return replace(timeline, duration_seconds=end_seconds)

    def _check_duration(self, timeline: Timeline) -> None:
        seconds, max_seconds = timeline.duration_seconds, self._limits.max_duration_seconds
        if seconds > max_seconds:
            raise VideoTooLarge(f"The video is {seconds:.1f} s long; the limit is {max_seconds:g} s.")


def _exceed_their_track(facts: Sequence[PacketFacts], track_ticks: int | None) -> bool:
    """Whether the pictures of an MP4 together last far longer than the header states for their track."""
    durations = [fact.duration for fact in facts if not fact.is_discarded]
    if not track_ticks or len(durations) <= _MAX_FACTOR_OF_TRACK:
        return False
    return median(durations) * len(durations) > _MAX_FACTOR_OF_TRACK * track_ticks


def _with_gif_delays(facts: Sequence[PacketFacts]) -> list[PacketFacts]:
    """Show the pictures of a GIF as browsers do: for 0.1 s if they state 0 or 0.01 s."""
    delays = [fact.duration if fact.duration > 1 else _GIF_DELAY for fact in facts]
    starts = accumulate(delays, initial=0)
    return [
        fact._replace(pts=start, dts=start, duration=delay)
        for fact, start, delay in zip(facts, starts, delays, strict=False)
    ]


def _number(packets: Iterator[VideoPacket] | list[VideoPacket], order: Sequence[int]) -> Iterator[VideoPacket]:
    for packet, number in zip(packets, order, strict=False):
        packet.pts = number
        yield packet


def _demux(container: InputContainer, stream: VideoStream) -> Iterator[VideoPacket]:
    for other in container.streams:
        other.discard = Discard.default if other.index == stream.index else Discard.all
    for packet in container.demux(stream):
        if packet.size:
            yield packet
