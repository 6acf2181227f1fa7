"""The command `synthesise`: render labelled videos."""

import json
from collections import Counter
from pathlib import Path

from model_training.commands.train import log
from model_training.progress import RunProgress
from model_training.synthetic.render import render_video, synthesise_dataset
from model_training.synthetic.scenes import EventLabel


def synthesise(directory: Path, num_videos: int, seed: int) -> None:
    """Render a dataset of painted events."""
    with RunProgress() as display, display.bar("render", num_videos) as on_video:
        videos = synthesise_dataset(directory, num_videos, seed, on_video)
    counts = Counter(video.label for video in videos)
    log(f"{directory}: {len(videos)} videos: " + ", ".join(f"{n} {label}" for label, n in sorted(counts.items())))


def synthesise_sample(path: Path, label: EventLabel, seed: int) -> None:
    """Render one painted video, and print when its event is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video = render_video(path, label, seed=seed)
    log(
        json.dumps(
            {
                "path": str(path),
                "label": label,
                "event_start_seconds": video.event_start_seconds,
                "event_end_seconds": video.event_end_seconds,
            }
        )
    )
