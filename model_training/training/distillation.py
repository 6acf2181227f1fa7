"""Distillation targets: the features that a larger pretrained network, the teacher, computes for the same videos."""

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
from model_training.networks.motion_crop import backbone_frames
from model_training.networks.preprocess import preprocessing_layer
from model_training.progress import RunProgress
from model_training.training.graph import compile_graph

_BATCH_SIZE = 2
_MIN_STANDARD_DEVIATION = 1e-3

ClipFeatures = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.float32]]


def with_distillation_targets(
    clips: Sequence[CachedClip],
    teacher: TeacherConfig,
    cache_directory: Path,
    display: RunProgress,
    is_stopping: Callable[[], bool],
) -> list[CachedClip]:
    """The clips with their distillation targets: the mean features of the teacher's clips that overlap them in time.

    The teacher's features of each video are cached next to its decoded clips.

    Raises:
        TrainingInterrupted: `is_stopping()` returned True; finished videos are kept.
        KeyboardInterrupt: Ctrl-C during decoding; finished videos are kept.
        TrainingDataError: a video cannot be decoded, or its features cannot be written.
    """
    examples = list(dict.fromkeys(clip.example for clip in clips))
    with display.bar("decode for the teacher", len(examples), "videos") as on_video, immediate_interrupt():
        decoding = decode_examples(examples, teacher.clip, cache_directory, on_video)
    videos = readable_videos(decoding, skip_unreadable=False)
    features_of = _teacher_features(teacher)
    features: dict[Any, NDArray[np.float32]] = {}
    with display.bar("teacher", len(videos), "videos") as on_video:
        for video in videos:
            if is_stopping():
                raise TrainingInterrupted(
                    "interrupted: the finished teacher features are kept; run the same command again to continue"
                )
            features[video.example] = _cached_features(video, teacher, features_of)
            on_video()
    teacher_clips = {video.example: video.clips for video in videos}
    return [
        replace(clip, distillation_target=_overlap_mean(clip, teacher_clips[clip.example], features[clip.example]))
        for clip in clips
    ]


def distillation_scale(clips: Sequence[CachedClip]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation float32 [D] of the clips' distillation targets."""
    targets = np.stack([clip.distillation_target for clip in clips if clip.distillation_target is not None])
    return targets.mean(axis=0), np.maximum(targets.std(axis=0), _MIN_STANDARD_DEVIATION)


def _teacher_features(teacher: TeacherConfig) -> ClipFeatures:
    """A function from clips uint8 [B,T,H,W,3] and valid bool [B,T] to the mean of the teacher's last map [B,D]."""
    spec, preprocess = backbone_clip(teacher.clip, teacher.motion_crop), preprocessing_layer(teacher.backbone)
    backbone = build_backbone(teacher.backbone, spec)

    def features_of(frames: Any, valid: Any) -> Any:
        maps = backbone(preprocess(backbone_frames(frames, valid, teacher.motion_crop)))
        return ops.mean(maps[-1] if isinstance(maps, list) else maps, axis=(1, 2, 3))

    graph = compile_graph(features_of)
    return lambda frames, valid: np.asarray(graph(frames, valid))


def _cached_features(video: DecodedVideo, teacher: TeacherConfig, features_of: ClipFeatures) -> NDArray[np.float32]:
    """The features float32 [clips, D] of a video, read from the cache or computed and written to it."""
    file = video.clips[0].cache_file.with_suffix(f".{_cache_name(teacher)}.npy")
    cached = _read(file)
    if cached is not None:
        return cached
    batches = [video.clips[start : start + _BATCH_SIZE] for start in range(0, len(video.clips), _BATCH_SIZE)]
    features = np.concatenate(
        [
            features_of(np.stack([clip.frames() for clip in batch]), np.stack([clip.valid for clip in batch]))
            for batch in batches
        ]
    )
    _write(file, features)
    return features


def _cache_name(teacher: TeacherConfig) -> str:
    """Different for teachers that compute different features of the same clip."""
    crop = teacher.motion_crop
    suffix = "" if crop is None else f"-{crop.size}-{crop.min_side:g}-{crop.movement_fraction:g}"
    return f"{teacher.backbone}{suffix}"


def _read(file: Path) -> NDArray[np.float32] | None:
    """The features in `file`; None if the file is absent or incomplete."""
    try:
        features: NDArray[np.float32] = np.load(file)
    except TORN_FILE_ERRORS:
        return None
    return features


def _write(file: Path, features: NDArray[np.float32]) -> None:
    """Write the features to `file`, atomically."""
    # Through a buffer: `np.save` to a file on a full disk misses errors that occur when the file is closed.
    buffer = io.BytesIO()
    np.save(buffer, features)
    try:
        with atomic_path(file) as partial:
            partial.write_bytes(buffer.getbuffer())
    except OSError as error:
        raise TrainingDataError(
            f"{file}: cannot write the teacher's features: {error.strerror}; finished videos are kept: free some"
            " space, and run the same command again"
        ) from error


def _overlap_mean(
    clip: CachedClip, teacher_clips: Sequence[CachedClip], features: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The mean of `features`, weighted by each teacher clip's overlap with `clip`; without overlap the nearest's."""
    start, end = _span(clip)
    spans = [_span(other) for other in teacher_clips]
    weights = np.array([max(0.0, min(end, last) - max(start, first)) for first, last in spans])
    if not weights.any():
        weights[np.argmin([abs(first + last - start - end) for first, last in spans])] = 1
    mean: NDArray[np.float32] = np.average(features, axis=0, weights=weights).astype(np.float32)
    return mean


def _span(clip: CachedClip) -> tuple[float, float]:
    times = clip.times_seconds[clip.valid]
    return float(times[0]), float(times[-1])
