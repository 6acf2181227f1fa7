"""Clips and videos in two folds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.examples import Example
from tests.support.videos import painted


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[CachedClip]:
    """Sixteen clips that get brighter from frame to frame, in two folds of four groups."""
    file = tmp_path_factory.mktemp("clips") / "clips.npz"
    ramp = np.arange(0, 200, 50, dtype=np.uint8)[:, None, None, None]
    frames: dict[str, Any] = {f"frames.{i}": np.broadcast_to(ramp + i, (4, 16, 16, 3)) for i in range(16)}
    np.savez(file, **frames)
    examples = [Example(Path(f"{i}.mp4"), ("ab"[i % 2],), f"group-{i // 2}", i // 8) for i in range(16)]
    return [CachedClip(examples[i], file, i, np.ones(4, bool), np.arange(4) / 2) for i in range(16)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """Eight videos, dark and bright, in two folds of two groups."""
    directory = tmp_path_factory.mktemp("videos")
    return [
        Example(
            painted(directory / f"{i}.mp4", [60 + 100 * (i % 2) + i + step for step in range(0, 40, 5)]),
            ("ab"[i % 2],),
            f"group-{i // 2}",
            i // 4,
        )
        for i in range(8)
    ]
