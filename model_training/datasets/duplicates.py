"""Which videos show the same: the same bytes, the same footage encoded anew, or the same place.

Compares looks, not files, so that another codec, size or cut does not hide a copy. A pair is
reported once, as the strongest of the three.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from model_training.datasets.clip_cache import DecodedVideo
from model_training.datasets.thumbnails import Look

Likeness = Literal["same bytes", "near duplicate", "same scene"]

_BLUR = 2.0
"""What is wider than this many thumbnail pixels (light above, dark below) says nothing of a place."""
_LEAST_CONTRAST = 4.0
"""Grey levels. Contrast is evened out down to this, or one horizon would look like any other."""
_MIN_TEXTURE = 2.0
"""Grey levels. An empty sky has less, and one empty sky looks like another."""
_MIN_SCENE_CORRELATION = 0.8
"""On 300 clips of 46 surveillance cameras two places came to 0.38 at most, and one place, twice, to 0.84."""
_MIN_MOVEMENT_CORRELATION = 0.8
_MIN_MOVEMENT = 1.0
"""Grey levels; where less moves, there is nothing to compare but the place."""
_MAX_SHIFT_STEPS = 8
_MIN_SHARED_STEPS = 3
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Twins:
    """Two videos, by their places in the list that was given, and in what they are alike."""

    first: int
    second: int
    likeness: Likeness


def find_twins(videos: Sequence[DecodedVideo]) -> list[Twins]:
    """Pairs of videos that show the same, in order. Segments of one file do if they overlap.

    A video is compared by its median picture, so a moving camera shows a place of its own each time.
    Within a group, which no split parts, only the same bytes are looked for.
    """
    scenes, textures = _scenes([video.look for video in videos])
    twins = {pair: Twins(*pair, "same bytes") for pair in _same_bytes(videos)}
    for first, second in _same_place(scenes):
        one, other = videos[first], videos[second]
        if (first, second) in twins or one.example.group == other.example.group:
            continue
        if min(textures[first], textures[second]) < _MIN_TEXTURE:
            continue
        is_one_file = one.file_sha256 == other.file_sha256
        is_copy = not is_one_file and _move_alike(one.look.thumbnails, other.look.thumbnails)
        twins[first, second] = Twins(first, second, "near duplicate" if is_copy else "same scene")
    return [twins[pair] for pair in sorted(twins)]


def _same_bytes(videos: Sequence[DecodedVideo]) -> Iterator[tuple[int, int]]:
    by_digest: dict[str, list[int]] = {}
    for place, video in enumerate(videos):
        for other in by_digest.setdefault(video.file_sha256, []):
            if _overlap(videos[other], video):
                yield other, place
        by_digest[video.file_sha256].append(place)


def _overlap(one: DecodedVideo, other: DecodedVideo) -> bool:
    first, second = (video.example.segment_seconds or (0.0, video.facts.duration_seconds) for video in (one, other))
    return first[0] < second[1] and second[0] < first[1]


def _scenes(looks: Sequence[Look]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Each video's median picture, its shades and contrast evened out, as a row of length 1; and its texture."""
    rows, textures = [], []
    for look in looks:
        picture = np.asarray(np.median(look.thumbnails, axis=0), np.float32)
        detail = picture - cv2.GaussianBlur(picture, (0, 0), _BLUR)
        textures.append(float(detail.std()))
        detail = detail / (np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), _BLUR)) + _LEAST_CONTRAST)
        detail -= detail.mean()
        rows.append(detail.ravel() / max(float(np.linalg.norm(detail)), 1e-6))
    return np.asarray(rows, np.float32), np.asarray(textures, np.float32)


def _same_place(scenes: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    for start in range(0, len(scenes), _ROWS_AT_ONCE):
        correlations = scenes[start : start + _ROWS_AT_ONCE] @ scenes.T
        for first, second in np.argwhere(correlations >= _MIN_SCENE_CORRELATION).tolist():
            if start + first < second:
                yield start + first, second


def _move_alike(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether what moves in two thumbnail films is the same, one perhaps beginning later than the other."""
    first, second = (np.asarray(film - np.median(film, axis=0), np.float32) for film in (one, other))
    if max(float(first.std()), float(second.std())) < _MIN_MOVEMENT:
        return True
    num_least = min(_MIN_SHARED_STEPS, len(one), len(other))
    shifts = range(-_MAX_SHIFT_STEPS, _MAX_SHIFT_STEPS + 1)
    return any(_shifted_correlation(first, second, shift, num_least) >= _MIN_MOVEMENT_CORRELATION for shift in shifts)


def _shifted_correlation(one: NDArray[np.float32], other: NDArray[np.float32], shift: int, num_least: int) -> float:
    one, other = one[max(shift, 0) :], other[max(-shift, 0) :]
    num_shared = min(len(one), len(other))
    if num_shared < num_least:
        return 0.0
    one, other = one[:num_shared], other[:num_shared]
    energy = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float((one * other).sum()) / energy if energy > 0 else 0.0
