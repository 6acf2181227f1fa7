"""Labelled videos on disk -> examples. Opens no video."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model_training.datasets.annotations import Row, read_rows
from model_training.errors import TrainingDataError

MANIFEST_NAMES = ("manifest.csv", "manifest.jsonl", "manifest.json")
_MIN_LABELS = 2
_VIDEO_SUFFIXES = frozenset(
    [
        *(".264", ".265", ".3gp", ".apng", ".asf", ".avi", ".avif", ".dav", ".dv", ".flv", ".gif", ".h264", ".hevc"),
        *(".ivf", ".m1v", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut"),
        *(".ogg", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
    ]
)


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled video, or one segment of it. Those of one `group` stay on one side of any split.

    `labels` are sorted. `event_seconds` is the half-open interval in which the label shows, where the
    dataset knows it; `segment_seconds` is the part of the video that is meant, None for all of it.
    Both count from the start of the video. `where` is the file and line that list it, empty where none does.
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
        """The one label.

        Raises:
            TrainingDataError: there are several, or none: only a multi-label model can be asked that.
        """
        if len(self.labels) != 1:
            raise TrainingDataError(
                f"{self.listed}: has {len(self.labels)} labels, but a model that picks one label needs exactly one"
            )
        return self.labels[0]

    @property
    def name(self) -> str:
        """How a message calls it: the path, and the segment if there is one."""
        if self.segment_seconds is None:
            return str(self.path)
        return f"{self.path} ({self.segment_seconds[0]:g} to {self.segment_seconds[1]:g} s)"

    @property
    def listed(self) -> str:
        """How an error calls it: by its name, after the line of the manifest that lists it."""
        return f"{self.where}: {self.name}" if self.where else self.name

    def path_below(self, directory: Path) -> str:
        """The path as records hold it: as seen from `directory`, or whole where the video lies elsewhere."""
        path = self.path.relative_to(directory) if self.path.is_relative_to(directory) else self.path
        return path.as_posix()


def read_examples(source: Path) -> list[Example]:
    """The examples of an annotation file, or of a folder: its manifest, or else a folder of videos per label.

    Raises:
        TrainingDataError: nothing there, an annotation file that cannot be used (naming the line), a
            file that is missing, or fewer than two labels.
    """
    annotations = source if source.is_file() else _manifest_in(source)
    examples = list(_from_folders(source) if annotations is None else _from_annotations(annotations))
    labels = labels_of(examples)
    if len(labels) < _MIN_LABELS:
        raise TrainingDataError(
            f"{source}: found {len(examples)} videos with {len(labels)} labels; two labels are the least: "
            f"give a {MANIFEST_NAMES[0]} (path,label,group,fold) or one folder of videos per label"
        )
    return examples


def labels_of(examples: Iterable[Example]) -> tuple[str, ...]:
    """The labels, each once, in the order a model answers them."""
    return tuple(sorted({label for example in examples for label in example.labels}))


def _manifest_in(directory: Path) -> Path | None:
    if not directory.is_dir():
        raise TrainingDataError(f"{directory}: no such file or folder")
    found = [directory / name for name in MANIFEST_NAMES if (directory / name).is_file()]
    if len(found) > 1:
        raise TrainingDataError(f"{directory}: holds {found[0].name} and {found[1].name}; give --data the one you mean")
    return found[0] if found else None


def _from_folders(directory: Path) -> Iterator[Example]:
    for folder in sorted(directory.iterdir()):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        paths = _videos_below(folder)
        if not paths:
            endings = ", ".join(sorted(_VIDEO_SUFFIXES))
            raise TrainingDataError(f"{folder}: no video here; remove the folder, or add files ending in {endings}")
        # Two folders may each have a 001.mp4: the path, not the name, tells one source from another.
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
            raise TrainingDataError(f"{row.where}: {path.name} is listed more than once; the first time in {first}")
        group = row.group or row.video_id or row.path
        yield Example(path, row.labels, group, row.fold, row.event_seconds, segment, row.where)


def _found(row: Row, directory: Path, by_stem: dict[str, Path]) -> tuple[Path, tuple[float, float] | None]:
    """The file of a row and its segment. Kinetics' usual downloads are cut already, and say so in their name."""
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
    return [path for path in sorted(directory.rglob("*")) if path.suffix.lower() in _VIDEO_SUFFIXES]
