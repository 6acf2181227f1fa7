"""Decodes only the frames that are wanted, the same bit for bit as decoding everything would give.

Knows the order of packets; nothing of clips or of what a model sees.
"""

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
"""Codecs whose decoder, when asked, drops just those frames that no other frame refers to."""

_THREADED_CODECS = frozenset({"av1", "h264", "mjpeg", "prores"})
"""Codecs whose decoder marks damaged pictures as such, whatever the number of its threads."""


_NUM_REFUSED_OF_A_TRUE_SIZE = 3


def hides_damage_from_threads(context: VideoCodecContext) -> bool:
    """Whether several threads may hand out damaged frames of this track as if they were sound.

    A thread that hands out a frame which another one decodes, as it does where frames are reordered, may
    do so before damage is marked in it.
    """
    return context.codec.canonical_name not in _THREADED_CODECS or context.reorder_depth > 0


def check_size(width: int, height: int, max_pixels_per_frame: int) -> None:
    """Raise VideoTooLarge for a picture of more pixels than allowed."""
    if width * height > max_pixels_per_frame:
        raise VideoTooLarge(f"A frame of {width}x{height} pixels is larger than the allowed {max_pixels_per_frame}.")


class _FalseKeyframeError(Exception):
    """A packet that its container calls a keyframe is none, so decoding cannot begin there."""


class _WrongOrderError(Exception):
    """Frames come out of the decoder in another order than their timestamps say."""


class FrameDecoder:
    """Decodes a video's wanted frames once, in presentation order, and counts what went wrong."""

    def __init__(
        self, context: VideoCodecContext, reader: PacketReader, timeline: Timeline, max_pixels_per_frame: int
    ) -> None:
        self._reader = reader
        self.timeline = timeline
        self.max_pixels_per_frame = max_pixels_per_frame
        # In HEVC a frame that its own temporal layer can spare may be what a higher layer refers to.
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
        """Yield (frame index, frame) in presentation order: every wanted frame, and perhaps others.

        Decoding jumps over what no wanted frame needs, from keyframe to keyframe. Should a container
        have lied about one, all is decoded again without jumps. Several threads that meet damage race for
        what becomes of it: one then decodes all again. Either goes on behind the last frame yielded, so the
        frames are those of one thread, whatever the number.

        Raises:
            VideoTooLarge: a frame turns out to hold more pixels than the limits allow.
        """
        can_jump = self.timeline.can_jump and self._context.codec.canonical_name in JUMPABLE_CODECS
        yield from self._frames_behind(-1, wanted, can_jump=can_jump)

    def _in_order(
        self, frames: Iterator[tuple[int, VideoFrame]], wanted: NDArray[np.int64]
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Yield `frames`; raises _WrongOrderError before one that comes out before a wanted one that precedes it."""
        if not (self.timeline.is_order_known and self.timeline.is_reordered):
            yield from frames
            return
        latest = -1
        held: list[tuple[int, VideoFrame]] = []
        missed = range(0)
        for index, frame in frames:
            if self.num_errors > self.timeline.num_read_errors:
                # Damaged pictures may come out in any order.
                yield from held
                held.clear()
                yield index, frame
                continue
            if index < latest and (not held or index in missed):
                raise _WrongOrderError
            if not held and np.searchsorted(wanted, latest, side="right") < np.searchsorted(wanted, index):
                # A wanted frame did not come out: it is lost, or it comes out later.
                missed = range(latest + 1, index)
            latest = max(latest, index)
            if missed:
                held.append((index, frame))
                if len(held) > MAX_REORDERED:
                    yield from held
                    held.clear()
                    missed = range(0)
            else:
                yield index, frame
        yield from held

    def _frames_behind(
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
        # What has decoded nonsense remembers some of it, even when flushed; this gives its pictures back.
        self._context.flush_buffers()
        with self._reader.fresh_decoder() as context:
            self._begin(context)
            yield from self._frames_behind(last_yielded, wanted, can_jump=can_jump)

    def _is_doubtful(self, wanted: NDArray[np.int64], last_yielded: int, index: int, *, is_interlaced: bool) -> bool:
        """Whether what came so far is damaged, or may be without saying so, and several threads decoded it.

        The fields of an interlaced picture may come from two threads, like pictures that are reordered. A wanted frame
        that did not come out between frame `last_yielded` and frame `index` may have been damaged.
        """
        return self._context.thread_count > 1 and (
            self.num_errors > self.timeline.num_read_errors
            or is_interlaced
            or bool(np.any((wanted > last_yielded) & (wanted < index)))
            or hides_damage_from_threads(self._context)
        )

    def _numbered(self, wanted: NDArray[np.int64], *, can_jump: bool) -> Iterator[tuple[int, VideoFrame]]:
        timeline = self.timeline
        # Plain numbers: numpy's cost more to compare, one by one, than a small frame costs to decode.
        frame_order = timeline.frame_order.tolist()
        num_uncounted = 0
        for frame in self._scheduled(self._schedule(wanted, can_jump=can_jump)):
            self.num_frames_decoded += 1
            self.num_errors += frame.is_corrupt
            if frame.width * frame.height > self.max_pixels_per_frame:
                check_size(frame.width, frame.height, self.max_pixels_per_frame)
            if timeline.is_order_known:
                if frame.pts is None:
                    continue
                index = bisect_right(frame_order, frame.pts) - 1
                if index < 0:
                    # A picture from before the first one that is shown.
                    continue
            else:
                if frame.key_frame and frame.pts is not None:
                    # All that is stored before a keyframe is shown before it, so pictures lost on the way are known.
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

    def _scheduled(self, schedule: NDArray[np.uint8]) -> Iterator[VideoFrame]:
        """Yield what the scheduled packets decode to, run by run; a run is what lies between jumps."""
        last = int(np.flatnonzero(schedule).max())
        never_shown_below = int(self.timeline.frame_order[0]) if self.timeline.seconds_never_shown else -1
        run: _Run | None = None
        for number, (what, packet) in enumerate(zip(schedule[: last + 1].tolist(), self._packets(), strict=False)):
            if what == SKIP:
                if run is not None:
                    yield from run.checked(self._send(None))
                    run.end()
                    self._context.flush_buffers()
                    run = None
                continue
            if run is None:
                run = _Run(int(self.timeline.packet_order[number]) if number else None)
            if self._can_drop:
                self._drop_unless_referred_to(is_wanted=what == FRAME)
            if never_shown_below >= 0:
                # Nothing is damaged by the failure of a picture that is never shown.
                self._is_never_shown = never_shown_below > self.timeline.packet_order[number]
            yield from run.checked(self._send(packet))
        self._is_never_shown = False
        self._drop_unless_referred_to(is_wanted=True)
        if run is not None:
            yield from run.checked(self._send(None))
            run.end()

    def _drop_unless_referred_to(self, *, is_wanted: bool) -> None:
        # Telling the decoder costs more than asking whether it knows.
        if is_wanted != self._is_decoding_all:
            self._is_decoding_all = is_wanted
            self._context.skip_frame = "DEFAULT" if is_wanted else "NONREF"

    def _packets(self) -> Iterator[VideoPacket]:
        try:
            yield from self._reader.packets()
        except FILE_FAULTS:
            # Counted when the timeline was read, which ended at the same place.
            return

    def _send(self, packet: "VideoPacket | None") -> list[VideoFrame]:
        try:
            return self._context.decode(packet)
        except FILE_FAULTS:
            self.num_errors += not self._is_never_shown
            # A decoder that was refused a buffer has read the size that it wanted one for.
            size = (self._context.width, self._context.height)
            if size[0] * size[1] > self.max_pixels_per_frame:
                self._num_refused = self._num_refused + 1 if size == self.refused_size else 1
                self.refused_size = size
                # A damaged header states such a size once, a picture that grew states it again and again.
                if self._num_refused == _NUM_REFUSED_OF_A_TRUE_SIZE:
                    check_size(*size, self.max_pixels_per_frame)
            return []


class _Run:
    """Packets decoded one after another; makes sure that a run after a jump begins with a keyframe."""

    def __init__(self, jumped_to: int | None) -> None:
        self._awaited = jumped_to
        self._jumped_to = jumped_to

    def checked(self, frames: list[VideoFrame]) -> Iterator[VideoFrame]:
        """Yield those of `frames` that are shown no earlier than the run's keyframe."""
        for frame in frames:
            if self._jumped_to is not None and frame.pts is not None and frame.pts < self._jumped_to:
                # Of an open GOP: it refers to what was jumped over, and is not wanted here.
                continue
            if self._awaited is not None:
                if frame.pts != self._awaited or not frame.key_frame or frame.is_corrupt:
                    raise _FalseKeyframeError
                self._awaited = None
            yield frame

    def end(self) -> None:
        """The run's last frame is out."""
        if self._awaited is not None:
            raise _FalseKeyframeError
