"""Logits of a trained network, before calibration and export."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_training.datasets.clip_cache import CachedClip
from model_training.networks.network import Network
from model_training.training.graph import compile_graph


def clip_logits(network: Network, clips: Sequence[CachedClip], batch_size: int = 8) -> NDArray[np.float32]:
    """The network's logits for each clip, float32 [N, K], uncalibrated."""
    logits_of = compile_graph(lambda frames, valid: network(frames, valid)[0])
    batches = [clips[start : start + batch_size] for start in range(0, len(clips), batch_size)]
    logits = [
        logits_of(np.stack([clip.frames() for clip in batch]), np.stack([clip.valid for clip in batch])).numpy()
        for batch in batches
    ]
    return np.concatenate(logits)
