"""Decodes a video file into clips: the only decode path, for training and serving.

A malicious file may crash or hang any call in this module. The service therefore calls it in a worker process
(`service.video.sandbox`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from service.video.clip import Clip, ClipSpec, ClipTimes, DecodeLimits, DecodeReport, VideoFacts, VideoWarning
from service.video.containers.container import CONTAINERS, codec_name
from service.video.containers.track import OpenedTrack, open_track, unreadable_error
from service.video.decode_warnings import (
    ASSUMED_COLOURS,
    damage_warnings,
    length_warnings,
    time_warnings,
    track_warnings,
)
from service.video.frames import FrameDecoder, check_size, hides_damage_from_threads
from service.video.header_claims import claimed_num_packets
from service.video.orientation import Orientation
from service.video.packets import PacketReader
from service.video.picture import PictureFitter
from service.video.quality import PictureQuality
from service.video.sampling import plan_clips
from service.video.timeline import Timeline

DECODER_VERSION = f"4/av-{av.__version__}"
"""Part of the key of cached clips: changes whenever the same file may give other pixels."""

_UPRIGHT = Orientation()


@contextmanager
def open_video(path: Path, limits: DecodeLimits, num_threads: int = 1) -> Iterator["OpenVideo"]:
    """Open the video in `path` and read all its timestamps; decodes no frame.

    Blocks, and may crash the process on a malicious file.

    Raises:
        UnsupportedVideo: the file is not a video, or its container or codec is not allowed.
        UnreadableVideo: the container is damaged, or holds no picture.
        VideoTooLarge: the video has more pixels, seconds or packets than `limits` allow.
    """
    track = open_track(path, limits)
    with track.container:
        context = track.stream.codec_context
        reader = PacketReader(path, limits, track)
        # Counted before reading, because FFmpeg may extend the index while it reads.
        num_packets_claimed = claimed_num_packets(track.container, track.stream)
        timeline = reader.read_timeline()
        context.thread_count = 1 if hides_damage_from_threads(context) else num_threads
        context.thread_type = "AUTO"
        if context.thread_count > 1 and context.codec.canonical_name == "h264":
            # Several threads conceal damage differently than one thread. The decoder therefore reports damage as an
            # error, and one thread decodes again.
            context.options |= {"err_detect": "explode"}
        decoder = FrameDecoder(context, reader, timeline, limits.max_pixels_per_frame)
        yield OpenVideo(path, track, timeline, decoder, num_packets_claimed)


class OpenVideo:
    """A video whose timestamps are known and whose frames can be decoded once, in order."""

    def __init__(
        self,
        path: Path,
        track: OpenedTrack,
        timeline: Timeline,
        decoder: FrameDecoder,
        num_packets_claimed: int | None,
    ) -> None:
        self._path = path
        self._track = track
        self._timeline = timeline
        self._decoder = decoder
        self._num_packets_claimed = num_packets_claimed
        self._num_frames_missing = 0
        self._quality = PictureQuality()
        self._orientation: Orientation | None = None
        self._fitter: PictureFitter | None = None
        stream = track.stream
        width, height = track.crop.size(stream.codec_context.width, stream.codec_context.height)
        self.facts = VideoFacts(
            container=CONTAINERS[track.container.format.name],
            codec=codec_name(stream),
            width=width,
            height=height,
            duration_seconds=timeline.duration_seconds,
            frame_rate=timeline.frame_rate,
            is_variable_frame_rate=timeline.is_variable_frame_rate,
            num_frames=len(timeline.frame_times_seconds),
            num_frames_from_header=stream.frames or None,
            has_audio=any(other.type == "audio" for other in track.container.streams),
        )

    def plan(self, spec: ClipSpec, span_seconds: tuple[float, float] | None = None) -> list[ClipTimes]:
        """Select the frames of all clips of this video, or of a span of it, by `spec`; decodes nothing."""
        return plan_clips(self._timeline.frame_times_seconds, self._timeline.duration_seconds, spec, span_seconds)

    def clips(self, spec: ClipSpec, plan: Sequence[ClipTimes]) -> Iterator[Clip]:
        """Decode the planned clips and yield each as soon as it is complete, in order.

        Frames are selected by presentation time: a variable-rate video and its constant-rate copy give the same clips.
        Only packets that a wanted frame needs are decoded; the frames equal the frames of a full decode bit for bit.
        A frame that does not decode is replaced by the frame before it if that is less than one sampling interval
        away, otherwise omitted. A clip without any frame is skipped.

        Holds in memory the frames of one clip, the frames shared with the next clip, and one full-size picture for
        each decoder thread.

        Raises:
            UnreadableVideo: no wanted frame can be decoded.
            VideoTooLarge: a frame has more pixels than the limits allow.
        """
        wanted = np.unique(np.concatenate([times.frame_indices[times.valid] for times in plan]))
        self._fitter = PictureFitter(spec, self._track.stream.sample_aspect_ratio, self._track.crop)
        pictures = self._wanted_pictures(wanted, self._fitter, 1 / spec.frames_per_second)
        buffered: dict[int, tuple[int, NDArray[np.uint8]]] = {}
        is_empty = True
        for number, times in enumerate(plan):
            last_needed = times.frame_indices.max()
            while not buffered or max(buffered) < last_needed:
                try:
                    index, shown_index, picture = next(pictures)
                except StopIteration:
                    break
                self._quality.add(picture)
                buffered[index] = (shown_index, picture)
            clip = self._assemble(times, buffered, spec)
            if clip is not None:
                is_empty = False
                yield clip
            if number + 1 < len(plan):
                next_first = plan[number + 1].frame_indices[0]
                buffered = {index: shown for index, shown in buffered.items() if index >= next_first}
        if is_empty:
            if self._decoder.refused_size is not None:
                check_size(*self._decoder.refused_size, self._decoder.max_pixels_per_frame)
            raise unreadable_error(self._path, self._track, "video has no frame that can be decoded.")

    def report(self) -> DecodeReport:
        """The result of decoding so far."""
        orientation = self._orientation or Orientation()
        return DecodeReport(
            num_frames_decoded=self._decoder.num_frames_decoded,
            num_frames_missing=self._num_frames_missing,
            rotation_degrees=orientation.rotation_degrees,
            is_mirrored=orientation.is_mirrored,
            warnings=tuple(self._warnings()),
        )

    def _warnings(self) -> Iterator[VideoWarning]:
        yield from length_warnings(self._track, self._timeline, self._num_packets_claimed)
        yield from damage_warnings(self._decoder.num_errors, self._num_frames_missing)
        yield from time_warnings(self._timeline)
        if self._fitter is not None and self._fitter.has_assumed_colours:
            yield ASSUMED_COLOURS
        yield from track_warnings(self._track)
        yield from self._quality.warnings()

    def _assemble(
        self, times: ClipTimes, buffered: dict[int, tuple[int, NDArray[np.uint8]]], spec: ClipSpec
    ) -> Clip | None:
        shown = [buffered[index] for index in times.frame_indices[times.valid] if index in buffered]
        self._num_frames_missing += int(times.valid.sum()) - len(shown)
        if not shown:
            return None
        frames = np.zeros((spec.num_frames, spec.height, spec.width, 3), dtype=np.uint8)
        indices = np.full(spec.num_frames, -1, dtype=np.int64)
        for position, (shown_index, picture) in enumerate(shown):
            frames[position] = picture
            indices[position] = shown_index
        valid = indices >= 0
        padded = np.where(valid, indices, indices[valid][-1])
        return Clip(
            frames,
            ClipTimes(
                frame_indices=indices,
                times_seconds=self._timeline.frame_times_seconds[padded],
                valid=valid,
                start_seconds=times.start_seconds,
                end_seconds=times.end_seconds,
            ),
        )

    def _wanted_pictures(
        self, wanted: NDArray[np.int64], fitter: PictureFitter, interval_seconds: float
    ) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
        """Yield (wanted frame index, index of the frame shown for it, its fitted picture), ascending."""
        times = self._timeline.frame_times_seconds
        position = 0
        before: tuple[int, VideoFrame] | None = None

        def before_if_near(index: int) -> tuple[int, VideoFrame] | None:
            near = before is not None and times[index] - times[before[0]] < interval_seconds
            return before if near else None

        for index, frame in self._decoder.frames(wanted):
            while position < len(wanted) and wanted[position] <= index:
                missed = wanted[position] < index
                shown = before_if_near(wanted[position]) if missed else (index, frame)
                if shown is not None:
                    yield int(wanted[position]), shown[0], self._fit(shown[1], fitter)
                position += 1
            if position == len(wanted):
                return
            before = (index, frame)
        for index in wanted[position:]:
            if (shown := before_if_near(index)) is not None:
                yield int(index), shown[0], self._fit(shown[1], fitter)

    def _fit(self, frame: VideoFrame, fitter: PictureFitter) -> NDArray[np.uint8]:
        orientation = self._orientation_of(frame)
        if self._orientation is None:
            self._orientation = orientation
        return fitter.fit(frame, orientation)

    def _orientation_of(self, frame: VideoFrame) -> Orientation:
        """The orientation stated by the container, else by messages of the stream, else by data of the picture."""
        if self._track.orientation != _UPRIGHT:
            return self._track.orientation
        if self._timeline.orientations:
            # A message applies until the next one, but decoders return it only with its own picture.
            return self._decoder.timeline.orientation_at(frame.pts or 0)
        # Not `frame.side_data`: it keeps the picture in memory until the next garbage collection.
        return Orientation.turned(-frame.rotation) if frame.rotation else _UPRIGHT
