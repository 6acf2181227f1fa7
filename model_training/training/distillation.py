"""What a larger network, as it was published, makes of the same moments of the same videos."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from model_training.atomic_files import TORN_FILE_ERRORS, atomic_path
from model_training.config import TeacherConfig, backbone_clip
from model_training.datasets.clip_cache import CachedClip, DecodedVideo
from model_training.datasets.decoding import decode_examples, readable_videos
from model_training.errors import TrainingDataError, TrainingInterrupted
from model_training.interrupt import immediate_interrupt
from model_training.networks.backbones.build import build_backbone
from model_training.networks.motion_crop import pictures_seen
from model_training.networks.preprocess import preprocessing_layer
from model_training.progress import RunProgress
from model_training.training.steps import one_graph

_BATCH_SIZE = 2
_LEAST_DEVIATION = 1e-3

ClipFeatures = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.float32]]


def with_lessons(
    clips: Sequence[CachedClip],
    teacher: TeacherConfig,
    cache_directory: Path,
    display: RunProgress,
    is_stopping: Callable[[], bool],
) -> list[CachedClip]:
    """The clips, each with what the teacher makes of it: the mean of the teacher's own clips that overlap it in time.

    What the teacher makes of a video is kept beside its decoded clips, and read back the next time.

    Raises:
        TrainingInterrupted: `is_stopping()` turned true; the videos done are kept.
        KeyboardInterrupt: Ctrl-C while videos were decoded; those done are kept.
        TrainingDataError: a video cannot be used, or what the teacher makes of it cannot be kept.
    """
    examples = list(dict.fromkeys(clip.example for clip in clips))
    with display.bar("decode for the teacher", len(examples), "videos") as on_video, immediate_interrupt():
        decoding = decode_examples(examples, teacher.clip, cache_directory, on_video)
    videos = readable_videos(decoding, skip_unreadable=False)
    features_of = _teacher_features(teacher)
    lessons: dict[Any, NDArray[np.float32]] = {}
    with display.bar("teacher", len(videos), "videos") as on_video:
        for video in videos:
            if is_stopping():
                raise TrainingInterrupted("interrupted: the teacher's features are kept; the same command goes on")
            lessons[video.example] = _kept(video, teacher, features_of)
            on_video()
    seen = {video.example: video.clips for video in videos}
    return [replace(clip, lesson=_overlapping(clip, seen[clip.example], lessons[clip.example])) for clip in clips]


def lesson_scale(clips: Sequence[CachedClip]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation float32 [D] of what the teacher makes of the clips."""
    lessons = np.stack([clip.lesson for clip in clips if clip.lesson is not None])
    return lessons.mean(axis=0), np.maximum(lessons.std(axis=0), _LEAST_DEVIATION)


def _teacher_features(teacher: TeacherConfig) -> ClipFeatures:
    """Clips uint8 [B,T,H,W,3] and valid bool [B,T] -> the mean of the teacher's last map, float32 [B,D]."""
    seen, preprocess = backbone_clip(teacher.clip, teacher.motion_crop), preprocessing_layer(teacher.backbone)
    backbone = build_backbone(teacher.backbone, seen)

    def look(frames: Any, valid: Any) -> Any:
        maps = backbone(preprocess(pictures_seen(frames, valid, teacher.motion_crop)))
        return ops.mean(maps[-1] if isinstance(maps, list) else maps, axis=(1, 2, 3))

    graph = one_graph(look)
    return lambda frames, valid: np.asarray(graph(frames, valid))


def _kept(video: DecodedVideo, teacher: TeacherConfig, features_of: ClipFeatures) -> NDArray[np.float32]:
    """The features float32 [clips, D] of a video, from its file or put there."""
    file = video.clips[0].cache_file.with_suffix(f".{_name_of(teacher)}.npy")
    kept = _read_back(file)
    if kept is not None:
        return kept
    groups = [video.clips[start : start + _BATCH_SIZE] for start in range(0, len(video.clips), _BATCH_SIZE)]
    features = np.concatenate(
        [
            features_of(np.stack([clip.frames() for clip in group]), np.stack([clip.valid for clip in group]))
            for group in groups
        ]
    )
    _keep(file, features)
    return features


def _name_of(teacher: TeacherConfig) -> str:
    """What differs whenever the teacher makes something else of the same clip."""
    crop = teacher.motion_crop
    place = "" if crop is None else f"-{crop.size}-{crop.min_side:g}-{crop.movement_fraction:g}"
    return f"{teacher.backbone}{place}"


def _read_back(file: Path) -> NDArray[np.float32] | None:
    """The features in `file`; None where nothing is, or a torn file."""
    try:
        features: NDArray[np.float32] = np.load(file)
    except TORN_FILE_ERRORS:
        return None
    return features


def _keep(file: Path, features: NDArray[np.float32]) -> None:
    """Put the features in `file`, which appears whole or not at all."""
    # `np.save` to a file does not hear of what the system still held when the disk was full.
    whole = io.BytesIO()
    np.save(whole, features)
    try:
        with atomic_path(file) as partial:
            partial.write_bytes(whole.getbuffer())
    except OSError as error:
        raise TrainingDataError(
            f"{file}: cannot keep what the teacher makes of a video: {error.strerror}; what is there is kept: free"
            " some space, and give the same command again"
        ) from error


def _overlapping(clip: CachedClip, seen: Sequence[CachedClip], features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the features of those clips that show some of the same time; of the nearest where none does."""
    start, end = _span(clip)
    spans = [_span(other) for other in seen]
    shares = np.array([max(0.0, min(end, last) - max(start, first)) for first, last in spans])
    if not shares.any():
        shares[np.argmin([abs(first + last - start - end) for first, last in spans])] = 1
    lesson: NDArray[np.float32] = np.average(features, axis=0, weights=shares).astype(np.float32)
    return lesson


def _span(clip: CachedClip) -> tuple[float, float]:
    times = clip.times_seconds[clip.valid]
    return float(times[0]), float(times[-1])
