"""Reads a folder or annotation file of labelled videos as examples. Opens no video."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from framewise.schemas.video_suffixes import VIDEO_SUFFIXES
from model_training.datasets.annotation_row import Row
from model_training.datasets.annotations import read_rows
from model_training.errors import TrainingDataError

MANIFEST_NAMES = ("manifest.csv", "manifest.jsonl", "manifest.json")
_MIN_LABELS = 2


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled video, or one segment of it. Examples of one `group` stay on one side of any split.

    `labels` are sorted. `event_seconds` is the half-open interval in which the label is visible, if known.
    `segment_seconds` is the half-open part of the video to use, None for all of it. Both count from the start
    of the video. `where` is the annotation file and line, empty without one.
    """

    path: Path
    labels: tuple[str, ...]
    group: str
    fold: int | None = None
    event_seconds: tuple[float, float] | None = None
    segment_seconds: tuple[float, float] | None = None
    where: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """The only label.

        Raises:
            TrainingDataError: the example does not have exactly one label.
        """
        if len(self.labels) != 1:
            raise TrainingDataError(
                f"{self.listed}: has {len(self.labels)} labels, but a model that picks one label needs exactly one"
            )
        return self.labels[0]

    @property
    def name(self) -> str:
        """The name in messages: the path, and the segment if there is one."""
        if self.segment_seconds is None:
            return str(self.path)
        return f"{self.path} ({self.segment_seconds[0]:g} to {self.segment_seconds[1]:g} s)"

    @property
    def listed(self) -> str:
        """The name in errors: `where`, then `name`."""
        return f"{self.where}: {self.name}" if self.where else self.name

    def path_below(self, directory: Path) -> str:
        """The POSIX path relative to `directory`, or the full path if the video lies outside of it."""
        path = self.path.relative_to(directory) if self.path.is_relative_to(directory) else self.path
        return path.as_posix()


def read_examples(source: Path) -> list[Example]:
    """Read the examples of an annotation file, of a folder with a manifest, or of a folder of videos per label.

    Raises:
        TrainingDataError: `source` or a listed video is missing, the annotation file is invalid (the message
            names the line), or there are fewer than two labels.
    """
    annotations = source if source.is_file() else _manifest_in(source)
    examples = list(_from_folders(source) if annotations is None else _from_annotations(annotations))
    labels = labels_of(examples)
    if len(labels) < _MIN_LABELS:
        raise TrainingDataError(
            f"{source}: found {len(examples)} videos with {len(labels)} labels; at least two labels are"
            f" needed: provide a {MANIFEST_NAMES[0]} (path,label,group,fold) or one folder of videos per label"
        )
    return examples


def labels_of(examples: Iterable[Example]) -> tuple[str, ...]:
    """The distinct labels, sorted: the order of a model's outputs."""
    return tuple(sorted({label for example in examples for label in example.labels}))


def _manifest_in(directory: Path) -> Path | None:
    if not directory.is_dir():
        raise TrainingDataError(f"{directory}: no such file or folder")
    found = [directory / name for name in MANIFEST_NAMES if (directory / name).is_file()]
    if len(found) > 1:
        raise TrainingDataError(f"{directory}: holds {found[0].name} and {found[1].name}; pass one of them as --data")
    return found[0] if found else None


def _from_folders(directory: Path) -> Iterator[Example]:
    for folder in sorted(directory.iterdir()):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        paths = _videos_below(folder)
        if not paths:
            endings = ", ".join(sorted(VIDEO_SUFFIXES))
            raise TrainingDataError(f"{folder}: no video here; remove the folder, or add files ending in {endings}")
        # Two folders may each hold a 001.mp4, so the group is the path, not the file name.
        for path in paths:
            yield Example(path, (folder.name,), path.relative_to(directory).as_posix())


def _from_annotations(file: Path) -> Iterator[Example]:
    rows = read_rows(file)
    by_stem = {path.stem: path for path in _videos_below(file.parent)} if any(row.video_id for row in rows) else {}
    seen: dict[tuple[Path, tuple[float, float] | None], str] = {}
    for row in rows:
        path, segment = _found(row, file.parent, by_stem)
        first = seen.setdefault((path, segment), row.where)
        if first != row.where:
            raise TrainingDataError(f"{row.where}: {path.name} is listed more than once; first in {first}")
        group = row.group or row.video_id or row.path
        yield Example(path, row.labels, group, row.fold, row.event_seconds, segment, row.where)


def _found(row: Row, directory: Path, by_stem: dict[str, Path]) -> tuple[Path, tuple[float, float] | None]:
    """The file of a row and its segment; None if the file is already cut, as Kinetics downloads usually are."""
    if row.path:
        path = directory / row.path
        if not path.is_file():
            raise TrainingDataError(f"{row.where}: no such file: {row.path}")
        return path, row.segment_seconds
    if not row.video_id:
        raise TrainingDataError(f"{row.where}: no such file: (empty path)")
    if row.segment_seconds is not None:
        start, end = row.segment_seconds
        cut = by_stem.get(f"{row.video_id}_{start:06.0f}_{end:06.0f}")
        if cut is not None:
            return cut, None
    if row.video_id not in by_stem:
        raise TrainingDataError(f"{row.where}: no video below {directory} is named {row.video_id}")
    return by_stem[row.video_id], row.segment_seconds


def _videos_below(directory: Path) -> Sequence[Path]:
    return [path for path in sorted(directory.rglob("*")) if path.suffix.lower() in VIDEO_SUFFIXES]
