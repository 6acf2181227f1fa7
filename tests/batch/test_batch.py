"""Batches: one row per file, across interruptions and machines."""

import asyncio
import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import httpx
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from framewise.schemas.prediction import Prediction
from framewise.schemas.problem import Problem
from service.batch.inputs import Shard, VideoFolder
from service.batch.outputs import BatchMismatch, RowFolder
from service.batch.row_buffer import RowBuffer
from service.batch.rows import Row
from tests.support.videos import painted

NAMES = [f"video {number}.mp4" for number in range(200)]


def problem(code: str) -> Problem:
    """A problem with this code."""
    return Problem(title="Title", status=422, detail="Detail", code=code, request_id="1")


def row(file: str, prediction: Prediction | None = None) -> Row:
    """A row with the prediction, or with a problem by default."""
    found = None if prediction is not None else problem("unreadable_video")
    return Row(file=file, num_bytes=1, sha256="00", prediction=prediction, problem=found)


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    """A prediction with a value in every field."""
    return Prediction.model_validate(
        {
            "request_id": "1",
            "model": {"name": "grey", "version": "1", "digest": "sha256:00"},
            "prediction": {"label": "dark", "probability": 0.75, "accepted": True},
            "probabilities": [
                {"label": "dark", "probability": 0.75, "accepted": True},
                {"label": "bright", "probability": 0.25, "accepted": False},
            ],
            "label_set": ["dark"],
            "clips": [{"start_seconds": 0.0, "end_seconds": 2.0, "label": "dark", "probability": 0.75}],
            "frames": [{"clip": 0, "index": 3, "time_seconds": 0.5, "attention": 1.0}],
            "video": {
                "container": "mp4",
                "codec": "h264",
                "width": 64,
                "height": 48,
                "rotation_degrees": 0,
                "is_mirrored": False,
                "duration_seconds": 2.0,
                "frame_rate": None,
                "is_variable_frame_rate": False,
                "num_frames_decoded": 16,
                "num_frames_sampled": 8,
                "audio": "none",
            },
            "warnings": [{"code": "truncated_video", "message": "Short."}],
            "timings_ms": {"receive": 0.0, "decode": 1.5, "queue": 0.5, "model": 2.0, "total": 4.0},
        }
    )


@pytest.mark.parametrize("count", [1, 2, 8])
def test_every_file_is_in_exactly_one_shard(count: int) -> None:
    shards = [Shard.parse(f"{number}/{count}") for number in range(1, count + 1)]
    held = [[name for name in NAMES if shard.includes(name)] for shard in shards]
    assert sorted(name for names in held for name in names) == sorted(NAMES)
    # The shards have similar sizes: a third of the mean at least.
    assert all(len(names) > 200 / count / 3 for names in held)


def test_the_shards_include_nested_files_and_exclude_hidden_files(tmp_path: Path) -> None:
    for name in ("a.mp4", "below/b.mp4", "below/deeper/c.mp4", ".hidden", ".git/d.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    folder = VideoFolder(str(tmp_path))
    names = [name for number in (1, 2, 3) for name in folder.names(Shard(number, 3))]
    assert sorted(names) == ["a.mp4", "below/b.mp4", "below/deeper/c.mp4"]
    assert VideoFolder(str(tmp_path / "a.mp4")).names(Shard(1, 1)) == ["a.mp4"]
    with pytest.raises(FileNotFoundError):
        VideoFolder(str(tmp_path / "nowhere")).names(Shard(1, 1))


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/2/3"])
def test_an_invalid_shard_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Shard.parse(text)


@pytest.mark.parametrize("row_format", ["jsonl", "parquet"])
def test_written_rows_can_be_read_back(row_format: Any, prediction: Prediction, tmp_path: Path) -> None:
    folder = RowFolder(str(tmp_path / "out"), row_format)
    folder.open({"digest": "a"})
    folder.add([row("nothing.mp4")])
    folder.add([row("grün.mp4", prediction)])
    rows = read_rows(tmp_path / "out")
    assert [found["file"] for found in rows] == ["nothing.mp4", "grün.mp4"]
    assert rows[0]["problem"]["code"] == "unreadable_video"
    assert Prediction.model_validate(rows[1]["prediction"]) == prediction
    assert RowFolder(str(tmp_path / "out"), row_format).files() == {"nothing.mp4", "grün.mp4"}


def test_a_part_without_predictions_has_the_same_columns(prediction: Prediction, tmp_path: Path) -> None:
    folder = RowFolder(str(tmp_path), "parquet")
    folder.open({})
    folder.add([row("nothing.mp4")])
    folder.add([row("dark.mp4", prediction)])
    nothing, dark = (pq.read_schema(part) for part in sorted(tmp_path.glob("*.parquet")))
    assert nothing == dark
    assert pq.read_table(tmp_path).num_rows == 2


@pytest.mark.parametrize("row_format", ["jsonl", "parquet"])
def test_rows_with_problems_can_be_removed_and_predictions_stay(
    row_format: Any, prediction: Prediction, tmp_path: Path
) -> None:
    folder = RowFolder(str(tmp_path), row_format)
    folder.open({})
    folder.add([row("nothing.mp4"), row("dark.mp4", prediction)])
    folder.remove_problems({"dark.mp4"})
    assert folder.files() == {"nothing.mp4", "dark.mp4"}, "a file of another shard keeps its row"
    folder.remove_problems({"nothing.mp4", "dark.mp4"})
    assert folder.files() == {"dark.mp4"}
    assert Prediction.model_validate(read_rows(tmp_path)[0]["prediction"]) == prediction


def test_a_folder_holds_one_batch(tmp_path: Path) -> None:
    RowFolder(str(tmp_path), "jsonl").open({"digest": "a"})
    RowFolder(str(tmp_path), "jsonl").open({"digest": "a"})
    with pytest.raises(BatchMismatch, match="another digest"):
        RowFolder(str(tmp_path), "jsonl").open({"digest": "b"})
    with pytest.raises(BatchMismatch, match="another format"):
        RowFolder(str(tmp_path), "parquet").open({"digest": "a"})


def test_an_incomplete_part_is_ignored(tmp_path: Path) -> None:
    folder = RowFolder(str(tmp_path), "jsonl")
    folder.open({})
    (tmp_path / ".part-0-00000.jsonl.0").write_bytes(b'{"file": "half')
    assert folder.files() == set()


class Bucket(MemoryFileSystem):  # type: ignore[misc]
    """A bucket whose writes wait for `is_open` and set `is_requested`; a write raises the next of `errors`."""

    protocol = "gated"
    is_requested = threading.Event()
    is_open = threading.Event()
    errors: list[OSError] = []  # noqa: RUF012 - fsspec makes its instances itself

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("gated://", "memory://")))

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        """Write a file; overrides the method of fsspec."""
        self.is_requested.set()
        assert self.is_open.wait(120), "the event loop is blocked by the write"
        if self.errors:
            raise self.errors.pop()
        super().pipe_file(path, value, **options)


@pytest.fixture
def bucket() -> Iterator[RowFolder]:
    """A folder in a bucket whose writes wait."""
    fsspec.register_implementation("gated", Bucket, clobber=True)
    for event in (Bucket.is_requested, Bucket.is_open):
        event.clear()
    yield RowFolder(f"gated://{secrets.token_hex(4)}", "jsonl")
    Bucket.is_open.set()


def rows_of(bucket: RowFolder) -> list[str]:
    """The file of each written row, with repetitions."""
    return sorted(file for part in bucket._parts() for file, _ in bucket._outcomes(part))  # noqa: SLF001 - each row


async def start_writing(buffer: RowBuffer) -> asyncio.Task[None]:
    """Start writing a part; the write waits for the bucket to open."""
    writing = asyncio.create_task(buffer.write())
    await asyncio.to_thread(Bucket.is_requested.wait)
    return writing


def test_rows_added_during_a_write_go_into_the_next_part(bucket: RowFolder) -> None:
    async def scenario() -> None:
        buffer = RowBuffer(bucket)
        await buffer.add(row("a.mp4"))
        writing = await start_writing(buffer)
        await buffer.add(row("b.mp4"))
        assert not writing.done()
        Bucket.is_open.set()
        await writing
        assert bucket.files() == {"a.mp4"}
        await buffer.write()
        assert bucket.files() == {"a.mp4", "b.mp4"}
        assert buffer.outcomes == {"unreadable_video": 2}

    asyncio.run(scenario())


def test_a_cancelled_write_stores_each_row_once(bucket: RowFolder) -> None:
    async def scenario() -> None:
        buffer = RowBuffer(bucket)
        await buffer.add(row("a.mp4"))
        writing = await start_writing(buffer)
        writing.cancel()
        await asyncio.sleep(0)
        assert not writing.done()
        Bucket.is_open.set()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await buffer.write()
        assert rows_of(bucket) == ["a.mp4"]

    asyncio.run(scenario())


def test_the_rows_of_a_failed_part_go_into_the_next_part(bucket: RowFolder) -> None:
    async def scenario() -> None:
        buffer = RowBuffer(bucket)
        Bucket.is_open.set()
        Bucket.errors.append(OSError("out of reach"))
        await buffer.add(row("a.mp4"))
        with pytest.raises(OSError, match="out of reach"):
            await buffer.write()
        assert bucket.files() == set()
        await buffer.add(row("b.mp4"))
        await buffer.write()
        assert rows_of(bucket) == ["a.mp4", "b.mp4"]

    asyncio.run(scenario())


def run_python(*arguments: object, models_dir: Path, upload_dir: Path) -> subprocess.CompletedProcess[str]:
    """Run a module with the settings of a service that has the grey model and one file in progress."""
    environment = {
        "SERVICE_MODELS_DIR": str(models_dir),
        "SERVICE_UPLOAD_DIR": str(upload_dir),
        "SERVICE_JOBS_DIR": str(upload_dir / "jobs"),
        "SERVICE_MAX_QUEUED_CLIPS": "8",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.tensorflow
def test_an_interrupted_batch_continues_where_it_stopped(grey_models_dir: Path, dark: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run_python("tests.support.interrupted_batch", dark, out, models_dir=grey_models_dir, upload_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == {"done": ["0.mp4", "1.mp4"], "fetched_again": ["2.mp4", "3.mp4", "4.mp4"], "status": 0}
    rows = read_rows(out)
    assert sorted(found["file"] for found in rows) == [f"{number}.mp4" for number in range(5)]
    assert {found["prediction"]["prediction"]["label"] for found in rows} == {"dark"}
    # No downloaded copy is left.
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.tensorflow
def test_the_command_gives_the_predictions_of_the_service(
    service_url: str, grey_models_dir: Path, dark: Path, not_a_video: Path, tmp_path: Path
) -> None:
    videos, out = tmp_path / "in", tmp_path / "out"
    (videos / "below").mkdir(parents=True)
    (videos / "below" / "dark.mp4").write_bytes(dark.read_bytes())
    (videos / "notes.mp4").write_bytes(not_a_video.read_bytes())
    (videos / ".hidden").write_text("ignored")
    painted(videos / "ramp.mp4", range(0, 240, 10))
    arguments = ["service.batch", videos, out, "--format", "parquet"]
    done = run_python(*arguments, models_dir=grey_models_dir, upload_dir=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "3 files, 0 done before: 2 classified, 1 unsupported_media" in done.stderr
    rows = {found["file"]: found for found in read_rows(out)}
    assert sorted(rows) == ["below/dark.mp4", "notes.mp4", "ramp.mp4"]
    assert rows["notes.mp4"]["problem"]["code"] == "unsupported_media"
    for name in ("below/dark.mp4", "ramp.mp4"):
        with (videos / name).open("rb") as file:
            response = httpx.post(f"{service_url}/predict", files={"video": file}, timeout=60).json()
        written = Prediction.model_validate(rows[name]["prediction"]).model_dump()
        for prediction in (written, response):
            del prediction["request_id"], prediction["timings_ms"]
        assert written == response
    # A batch does not accept jobs, even if SERVICE_JOBS_DIR is set.
    assert not (tmp_path / "jobs").exists()


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of the parts in `folder`, in the order of writing."""
    rows: list[dict[str, Any]] = []
    for part in sorted(folder.glob("part-*"), key=lambda part: part.stat().st_mtime_ns):
        if part.suffix == ".parquet":
            rows += pq.read_table(part).to_pylist()
        else:
            rows += [json.loads(line) for line in part.read_text().splitlines()]
    return rows
