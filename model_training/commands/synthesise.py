"""The command `synthesise`: render labelled videos of painted events."""

import json
import sys
from collections import Counter
from pathlib import Path

from model_training.atomic_files import check_absent
from model_training.progress import RunProgress
from model_training.synthetic.render import render_video, synthesise_dataset
from model_training.synthetic.scenes import EventLabel


def synthesise(directory: Path, num_videos: int, seed: int, *, force: bool) -> None:
    """Render a dataset of painted events and print the number of videos of each label.

    Raises:
        TrainingError: `directory` is not empty, and not `force`.
    """
    check_absent(directory, force=force)
    with RunProgress() as display, display.bar("render", num_videos) as on_video:
        videos = synthesise_dataset(directory, num_videos, seed, on_video)
    counts = Counter(video.label for video in videos)
    shown = ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
    sys.stdout.write(f"{directory}: {len(videos)} videos: {shown}\n")


def synthesise_sample(path: Path, label: EventLabel, seed: int, *, force: bool) -> None:
    """Render one painted video and print its event times as JSON.

    Raises:
        TrainingError: `path` exists, and not `force`.
    """
    check_absent(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    video = render_video(path, label, seed=seed)
    facts = {
        "path": str(path),
        "label": label,
        "event_start_seconds": video.event_start_seconds,
        "event_end_seconds": video.event_end_seconds,
    }
    sys.stdout.write(json.dumps(facts) + "\n")
