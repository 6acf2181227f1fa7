"""Decodes only the wanted frames, bit for bit as a full decode gives them. Independent of clips and models."""

from bisect import bisect_right
from collections.abc import Iterator

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from service.video.clock import MAX_REORDERED
from service.video.containers.container import JUMPABLE_CODECS
from service.video.errors import VideoTooLarge
from service.video.packets import FILE_FAULTS, PacketReader, VideoPacket
from service.video.sampling import FRAME, SKIP, schedule_packets
from service.video.timeline import Timeline

_DROPPING_CODECS = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8"})
"""Codecs whose decoder can skip exactly the frames that no other frame refers to."""

_THREADED_CODECS = frozenset({"av1", "h264", "mjpeg", "prores"})
"""Codecs whose decoder marks damaged pictures with any number of threads."""

_NUM_REFUSED_OF_A_TRUE_SIZE = 3
"""A picture size is believed after so many refused pictures; a damaged header states a wrong size only once."""


def hides_damage_from_threads(context: VideoCodecContext) -> bool:
    """Whether several decoder threads may return damaged frames of this track without a mark.

    With reordered frames, one thread returns frames that another decodes, perhaps before damage is marked.
    """
    return context.codec.canonical_name not in _THREADED_CODECS or context.reorder_depth > 0


def check_size(width: int, height: int, max_pixels_per_frame: int) -> None:
    """Raise VideoTooLarge for a picture of more pixels than allowed."""
    if width * height > max_pixels_per_frame:
        raise VideoTooLarge(
            f"A frame of {width}x{height} pixels is larger than the limit of {max_pixels_per_frame} pixels."
        )


class _FalseKeyframeError(Exception):
    """A packet that the container marks as a keyframe is not one, so decoding cannot start there."""


class _WrongOrderError(Exception):
    """The decoder returns frames in another order than their timestamps."""


class FrameDecoder:
    """Decodes the wanted frames of a video once, in presentation order, and counts errors."""

    def __init__(
        self, context: VideoCodecContext, reader: PacketReader, timeline: Timeline, max_pixels_per_frame: int
    ) -> None:
        self._reader = reader
        self.timeline = timeline
        self.max_pixels_per_frame = max_pixels_per_frame
        # In HEVC, a frame to which its own temporal layer does not refer may be referred to by a higher layer.
        self._can_drop = (
            timeline.is_order_known
            and timeline.num_temporal_layers == 1
            and context.codec.canonical_name in _DROPPING_CODECS
        )
        self._begin(context)

    def _begin(self, context: VideoCodecContext) -> None:
        self._context = context
        self._is_decoding_all = True
        self._is_never_shown = False
        self.num_frames_decoded = 0
        self.num_errors = self.timeline.num_read_errors
        self._num_refused = 0
        self.refused_size: tuple[int, int] | None = None
        """(width, height) of a picture that was too large to decode."""

    def frames(self, wanted: NDArray[np.int64]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield (frame index, frame) in presentation order: all wanted frames, and perhaps more.

        Decoding jumps from keyframe to keyframe over packets that no wanted frame needs. After a false keyframe, the
        video is decoded again without jumps. After damage, one thread decodes it again, because the result of several
        threads is not deterministic. Both continue after the last frame yielded, so that the frames do not depend on
        the number of threads.

        Raises:
            VideoTooLarge: a frame has more pixels than the limits allow.
        """
        can_jump = self.timeline.can_jump and self._context.codec.canonical_name in JUMPABLE_CODECS
        yield from self._frames_after(-1, wanted, can_jump=can_jump)

    def _in_order(
        self, frames: Iterator[tuple[int, VideoFrame]], wanted: NDArray[np.int64]
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Yield `frames`; raises _WrongOrderError if a wanted frame comes out after a frame that follows it."""
        if not (self.timeline.is_order_known and self.timeline.is_reordered):
            yield from frames
            return
        latest = -1
        waiting: list[tuple[int, VideoFrame]] = []
        missed = range(0)
        for index, frame in frames:
            if self.num_errors > self.timeline.num_read_errors:
                # Damaged pictures may come out in any order.
                yield from waiting
                waiting.clear()
                yield index, frame
                continue
            if index < latest and (not waiting or index in missed):
                raise _WrongOrderError
            if not waiting and np.searchsorted(wanted, latest, side="right") < np.searchsorted(wanted, index):
                # A wanted frame is missing: it is lost, or it comes out later.
                missed = range(latest + 1, index)
            latest = max(latest, index)
            if missed:
                waiting.append((index, frame))
                if len(waiting) > MAX_REORDERED:
                    yield from waiting
                    waiting.clear()
                    missed = range(0)
            else:
                yield index, frame
        yield from waiting

    def _frames_after(
        self, last_yielded: int, wanted: NDArray[np.int64], *, can_jump: bool
    ) -> Iterator[tuple[int, VideoFrame]]:
        try:
            for index, frame in self._in_order(self._numbered(wanted, can_jump=can_jump), wanted):
                if self._is_doubtful(wanted, last_yielded, index, is_interlaced=frame.interlaced_frame):
                    break
                if index > last_yielded:
                    last_yielded = index
                    yield index, frame
            else:
                if not self._is_doubtful(wanted, last_yielded, int(wanted[-1]) + 1, is_interlaced=False):
                    return
        except _FalseKeyframeError:
            can_jump = False
        except _WrongOrderError:
            self.timeline = self.timeline.with_counted_frames()
            self._reader.number_by(self.timeline)
        # Flushing releases the pictures of the old decoder. It is not used again, because it keeps a state.
        self._context.flush_buffers()
        with self._reader.fresh_decoder() as context:
            self._begin(context)
            yield from self._frames_after(last_yielded, wanted, can_jump=can_jump)

    def _is_doubtful(self, wanted: NDArray[np.int64], last_yielded: int, index: int, *, is_interlaced: bool) -> bool:
        """Whether several threads decoded frames that are damaged, or may be damaged without a mark.

        Two threads may decode the two fields of an interlaced picture. A wanted frame missing between `last_yielded`
        and `index` may have been damaged.
        """
        return self._context.thread_count > 1 and (
            self.num_errors > self.timeline.num_read_errors
            or is_interlaced
            or bool(np.any((wanted > last_yielded) & (wanted < index)))
            or hides_damage_from_threads(self._context)
        )

    def _numbered(self, wanted: NDArray[np.int64], *, can_jump: bool) -> Iterator[tuple[int, VideoFrame]]:
        timeline = self.timeline
        # A list, because comparing single numpy values takes longer than decoding a small frame.
        frame_order = timeline.frame_order.tolist()
        num_uncounted = 0
        for frame in self._decode(self._schedule(wanted, can_jump=can_jump)):
            self.num_frames_decoded += 1
            self.num_errors += frame.is_corrupt
            if frame.width * frame.height > self.max_pixels_per_frame:
                check_size(frame.width, frame.height, self.max_pixels_per_frame)
            if timeline.is_order_known:
                if frame.pts is None:
                    continue
                index = bisect_right(frame_order, frame.pts) - 1
                if index < 0:
                    # The picture precedes the first shown one.
                    continue
            else:
                if frame.key_frame and frame.pts is not None:
                    # Pictures stored before a keyframe are shown before it, so its position counts lost pictures too.
                    num_uncounted = max(num_uncounted, bisect_right(frame_order, frame.pts) - 1)
                index = min(num_uncounted, len(frame_order) - 1)
                num_uncounted += 1
            yield index, frame

    def _schedule(self, wanted: NDArray[np.int64], *, can_jump: bool) -> NDArray[np.uint8]:
        timeline = self.timeline
        if not timeline.is_order_known:
            return np.full(len(timeline.packet_order), FRAME, dtype=np.uint8)
        is_keyframe = timeline.is_keyframe if can_jump else np.zeros_like(timeline.is_keyframe)
        return schedule_packets(timeline.packet_order, is_keyframe, timeline.frame_order[wanted])

    def _decode(self, schedule: NDArray[np.uint8]) -> Iterator[VideoFrame]:
        """Yield the frames of the scheduled packets, run by run. A run is the packets between two jumps."""
        last = int(np.flatnonzero(schedule).max())
        never_shown_below = int(self.timeline.frame_order[0]) if self.timeline.seconds_never_shown else -1
        run: _Run | None = None
        for number, (action, packet) in enumerate(zip(schedule[: last + 1].tolist(), self._packets(), strict=False)):
            if action == SKIP:
                if run is not None:
                    yield from run.checked(self._send(None))
                    run.end()
                    self._context.flush_buffers()
                    run = None
                continue
            if run is None:
                run = _Run(int(self.timeline.packet_order[number]) if number else None)
            if self._can_drop:
                self._drop_unless_referred_to(is_wanted=action == FRAME)
            if never_shown_below >= 0:
                # A picture that is never shown does not count as an error.
                self._is_never_shown = never_shown_below > self.timeline.packet_order[number]
            yield from run.checked(self._send(packet))
        self._is_never_shown = False
        self._drop_unless_referred_to(is_wanted=True)
        if run is not None:
            yield from run.checked(self._send(None))
            run.end()

    def _drop_unless_referred_to(self, *, is_wanted: bool) -> None:
        # The comparison avoids a slower call to the decoder.
        if is_wanted != self._is_decoding_all:
            self._is_decoding_all = is_wanted
            self._context.skip_frame = "DEFAULT" if is_wanted else "NONREF"

    def _packets(self) -> Iterator[VideoPacket]:
        try:
            yield from self._reader.packets()
        except FILE_FAULTS:
            # Already counted: reading the timeline ended at the same packet.
            return

    def _send(self, packet: "VideoPacket | None") -> list[VideoFrame]:
        try:
            return self._context.decode(packet)
        except FILE_FAULTS:
            self.num_errors += not self._is_never_shown
            # After a refused buffer, the context has the size for which the decoder wanted it.
            size = (self._context.width, self._context.height)
            if size[0] * size[1] > self.max_pixels_per_frame:
                self._num_refused = self._num_refused + 1 if size == self.refused_size else 1
                self.refused_size = size
                if self._num_refused == _NUM_REFUSED_OF_A_TRUE_SIZE:
                    check_size(*size, self.max_pixels_per_frame)
            return []


class _Run:
    """Packets decoded without a jump. Checks that a run after a jump begins with a keyframe."""

    def __init__(self, jumped_to: int | None) -> None:
        self._awaited = jumped_to
        self._jumped_to = jumped_to

    def checked(self, frames: list[VideoFrame]) -> Iterator[VideoFrame]:
        """Yield the frames that are not shown before the run's keyframe; raises _FalseKeyframeError."""
        for frame in frames:
            if self._jumped_to is not None and frame.pts is not None and frame.pts < self._jumped_to:
                # A frame of an open GOP: it refers to skipped packets and is not wanted.
                continue
            if self._awaited is not None:
                if frame.pts != self._awaited or not frame.key_frame or frame.is_corrupt:
                    raise _FalseKeyframeError
                self._awaited = None
            yield frame

    def end(self) -> None:
        """Check that the keyframe came out; call after the last frame."""
        if self._awaited is not None:
            raise _FalseKeyframeError
