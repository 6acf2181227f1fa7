"""A folder of videos goes in, rows come out: each file once, whatever interrupts it, on however many machines."""

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
from service.batch.outputs import OtherBatch, Row, RowFolder
from service.batch.run import Tally
from tests.support.videos import painted

NAMES = [f"video {number}.mp4" for number in range(200)]


def problem(code: str) -> Problem:
    """What a request might have been answered."""
    return Problem(title="Title", status=422, detail="Detail", code=code, request_id="1")


def row(file: str, prediction: Prediction | None = None) -> Row:
    """A row of a file that was answered, or has a problem."""
    told = None if prediction is not None else problem("unreadable_video")
    return Row(file=file, num_bytes=1, sha256="00", prediction=prediction, problem=told)


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    """An answer with something in every field."""
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
    held = [[name for name in NAMES if shard.holds(name)] for shard in shards]
    assert sorted(name for names in held for name in names) == sorted(NAMES)
    # Shares of a like size: eight shards of 200 files would hold 25 each.
    assert all(len(names) > 200 / count / 3 for names in held)


def test_a_folder_s_shards_are_its_files_however_deep_but_for_hidden_ones(tmp_path: Path) -> None:
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
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Shard.parse(text)


@pytest.mark.parametrize("row_format", ["jsonl", "parquet"])
def test_rows_are_read_back_as_they_were_written(row_format: Any, prediction: Prediction, tmp_path: Path) -> None:
    folder = RowFolder(str(tmp_path / "out"), row_format)
    folder.open({"digest": "a"})
    folder.add([row("nothing.mp4")])
    folder.add([row("grün.mp4", prediction)])
    rows = read_rows(tmp_path / "out")
    assert [found["file"] for found in rows] == ["nothing.mp4", "grün.mp4"]
    assert rows[0]["problem"]["code"] == "unreadable_video"
    assert Prediction.model_validate(rows[1]["prediction"]) == prediction
    assert RowFolder(str(tmp_path / "out"), row_format).done() == {"nothing.mp4", "grün.mp4"}


def test_all_parts_have_the_same_columns_even_where_nothing_was_answered(
    prediction: Prediction, tmp_path: Path
) -> None:
    folder = RowFolder(str(tmp_path), "parquet")
    folder.open({})
    folder.add([row("nothing.mp4")])
    folder.add([row("dark.mp4", prediction)])
    nothing, dark = (pq.read_schema(part) for part in sorted(tmp_path.glob("*.parquet")))
    assert nothing == dark
    assert pq.read_table(tmp_path).num_rows == 2


@pytest.mark.parametrize("row_format", ["jsonl", "parquet"])
def test_files_with_problems_can_be_forgotten_and_answers_stay(
    row_format: Any, prediction: Prediction, tmp_path: Path
) -> None:
    folder = RowFolder(str(tmp_path), row_format)
    folder.open({})
    folder.add([row("nothing.mp4"), row("dark.mp4", prediction)])
    folder.forget_problems({"dark.mp4"})
    assert folder.done() == {"nothing.mp4", "dark.mp4"}, "another shard looks after it"
    folder.forget_problems({"nothing.mp4", "dark.mp4"})
    assert folder.done() == {"dark.mp4"}
    assert Prediction.model_validate(read_rows(tmp_path)[0]["prediction"]) == prediction


def test_a_folder_takes_one_batch_only(tmp_path: Path) -> None:
    RowFolder(str(tmp_path), "jsonl").open({"digest": "a"})
    RowFolder(str(tmp_path), "jsonl").open({"digest": "a"})
    with pytest.raises(OtherBatch, match="another digest"):
        RowFolder(str(tmp_path), "jsonl").open({"digest": "b"})
    with pytest.raises(OtherBatch, match="another format"):
        RowFolder(str(tmp_path), "parquet").open({"digest": "a"})


def test_a_part_that_is_not_whole_has_no_name_yet(tmp_path: Path) -> None:
    folder = RowFolder(str(tmp_path), "jsonl")
    folder.open({})
    (tmp_path / ".part-0-00000.jsonl.0").write_bytes(b'{"file": "half')
    assert folder.done() == set()


class Bucket(MemoryFileSystem):  # type: ignore[misc]
    """A bucket that takes a part when it is `open`, and says when it was asked to; `errors` come instead."""

    protocol = "gated"
    is_asked = threading.Event()
    is_open = threading.Event()
    errors: list[OSError] = []  # noqa: RUF012 - fsspec makes its instances itself

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("gated://", "memory://")))

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        """Write a file, as fsspec asks for it."""
        self.is_asked.set()
        assert self.is_open.wait(120), "whoever waits for the part keeps the loop from turning"
        if self.errors:
            raise self.errors.pop()
        super().pipe_file(path, value, **options)


@pytest.fixture
def bucket() -> Iterator[RowFolder]:
    """Rows in a bucket that is closed at first."""
    fsspec.register_implementation("gated", Bucket, clobber=True)
    for event in (Bucket.is_asked, Bucket.is_open):
        event.clear()
    yield RowFolder(f"gated://{secrets.token_hex(4)}", "jsonl")
    Bucket.is_open.set()


def rows_of(bucket: RowFolder) -> list[str]:
    """The file of each row that was written, as often as it was."""
    return sorted(file for part in bucket._parts() for file, _ in bucket._outcomes(part))  # noqa: SLF001 - each row


async def being_written(tally: Tally) -> asyncio.Task[None]:
    """A part on its way into the closed bucket."""
    writing = asyncio.create_task(tally.write())
    await asyncio.to_thread(Bucket.is_asked.wait)
    return writing


def test_rows_are_gathered_while_a_part_is_written_and_come_with_the_next(bucket: RowFolder) -> None:
    async def story() -> None:
        tally = Tally(bucket)
        await tally.add(row("a.mp4"))
        writing = await being_written(tally)
        await tally.add(row("b.mp4"))
        assert not writing.done()
        Bucket.is_open.set()
        await writing
        assert bucket.done() == {"a.mp4"}
        await tally.write()
        assert bucket.done() == {"a.mp4", "b.mp4"}
        assert tally.outcomes == {"unreadable_video": 2}

    asyncio.run(story())


def test_a_batch_that_is_stopped_while_a_part_is_written_has_each_row_once(bucket: RowFolder) -> None:
    async def story() -> None:
        tally = Tally(bucket)
        await tally.add(row("a.mp4"))
        writing = await being_written(tally)
        writing.cancel()
        await asyncio.sleep(0)
        assert not writing.done()
        Bucket.is_open.set()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await tally.write()
        assert rows_of(bucket) == ["a.mp4"]

    asyncio.run(story())


def test_the_rows_of_a_part_that_could_not_be_written_come_with_the_next(bucket: RowFolder) -> None:
    async def story() -> None:
        tally = Tally(bucket)
        Bucket.is_open.set()
        Bucket.errors.append(OSError("out of reach"))
        await tally.add(row("a.mp4"))
        with pytest.raises(OSError, match="out of reach"):
            await tally.write()
        assert bucket.done() == set()
        await tally.add(row("b.mp4"))
        await tally.write()
        assert rows_of(bucket) == ["a.mp4", "b.mp4"]

    asyncio.run(story())


def run_python(*arguments: object, models_dir: Path, upload_dir: Path) -> subprocess.CompletedProcess[str]:
    """Run a module with a service's settings: with the grey model, and one file at a time."""
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
def test_an_interrupted_batch_of_a_bucket_goes_on_where_it_stopped(
    grey_models_dir: Path, dark: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run_python("tests.support.interrupted_batch", dark, out, models_dir=grey_models_dir, upload_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == {"done": ["0.mp4", "1.mp4"], "fetched_again": ["2.mp4", "3.mp4", "4.mp4"], "status": 0}
    rows = read_rows(out)
    assert sorted(found["file"] for found in rows) == [f"{number}.mp4" for number in range(5)]
    assert {found["prediction"]["prediction"]["label"] for found in rows} == {"dark"}
    # Not one of the copies that were fetched is left.
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.tensorflow
def test_the_command_answers_as_the_service_does(
    service_url: str, grey_models_dir: Path, dark: Path, not_a_video: Path, tmp_path: Path
) -> None:
    videos, out = tmp_path / "in", tmp_path / "out"
    (videos / "below").mkdir(parents=True)
    (videos / "below" / "dark.mp4").write_bytes(dark.read_bytes())
    (videos / "notes.mp4").write_bytes(not_a_video.read_bytes())
    (videos / ".hidden").write_text("not looked at")
    painted(videos / "ramp.mp4", range(0, 240, 10))
    arguments = ["service.batch", videos, out, "--format", "parquet"]
    done = run_python(*arguments, models_dir=grey_models_dir, upload_dir=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "3 files, 0 done before: 2 answered, 1 unsupported_media" in done.stderr
    rows = {found["file"]: found for found in read_rows(out)}
    assert sorted(rows) == ["below/dark.mp4", "notes.mp4", "ramp.mp4"]
    assert rows["notes.mp4"]["problem"]["code"] == "unsupported_media"
    for name in ("below/dark.mp4", "ramp.mp4"):
        with (videos / name).open("rb") as file:
            answer = httpx.post(f"{service_url}/predict", files={"video": file}, timeout=60).json()
        told = Prediction.model_validate(rows[name]["prediction"]).model_dump()
        for one in (told, answer):
            del one["request_id"], one["timings_ms"]
        assert told == answer
    # It is a batch, and takes no jobs, whatever the settings say of them.
    assert not (tmp_path / "jobs").exists()


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Every row of the parts in `folder`, in the order they were written."""
    rows: list[dict[str, Any]] = []
    for part in sorted(folder.glob("part-*"), key=lambda part: part.stat().st_mtime_ns):
        if part.suffix == ".parquet":
            rows += pq.read_table(part).to_pylist()
        else:
            rows += [json.loads(line) for line in part.read_text().splitlines()]
    return rows
