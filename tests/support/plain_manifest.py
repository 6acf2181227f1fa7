"""The manifest of a model without files."""

from typing import Any

from service.inference.manifest import GoldenClip, Manifest
from service.video.clip import ClipSpec

NUM_FRAMES = 4


def plain_manifest(**changes: Any) -> Manifest:
    """Of three labels, a, b and c, and clips of four frames; `changes` are fields of `Manifest`."""
    labels: tuple[str, ...] = changes.pop("labels", ("a", "b", "c"))
    frames = (0.25,) * NUM_FRAMES
    golden = GoldenClip(
        path="golden/1.mp4",
        frames_sha256="0",
        probabilities=(1.0, *(0.0,) * (len(labels) - 1)),
        attention=frames,
        times_seconds=frames,
    )
    return Manifest(
        name="m",
        version="1",
        description="A test.",
        created_at="2026-01-01T00:00:00Z",
        labels=labels,
        clip=ClipSpec(num_frames=NUM_FRAMES, height=16, width=16, frames_per_second=4, stride_seconds=1),
        golden=(golden,),
        metrics={},
        training={},
        files={"golden/1.mp4": "0"},
        **changes,
    )
