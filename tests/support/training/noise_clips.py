"""Clips that a small network learns in a second, made without decoding."""

from pathlib import Path
from typing import Any

import numpy as np

from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.examples import Example


def noise_clips(directory: Path, num_clips: int) -> list[CachedClip]:
    """Clips of noise, labelled `a` and `b` alternately, `b` brighter; the fourth clip is short."""
    file = directory / "clips.npz"
    random = np.random.default_rng(0)
    frames: dict[str, Any] = {
        f"frames.{i}": random.integers(0, 128 + 64 * (i % 2), (4, 16, 16, 3)).astype(np.uint8) for i in range(num_clips)
    }
    np.savez(file, **frames)
    valid = np.ones((num_clips, 4), bool)
    valid[3, 2:] = False
    examples = [Example(Path(f"{i}.mp4"), ("ab"[i % 2],), str(i)) for i in range(num_clips)]
    return [CachedClip(examples[i], file, i, valid[i], np.arange(4) / 2) for i in range(num_clips)]
