"""Output folders: parts, problems, descriptions."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from framewise.schemas.prediction import Prediction
from service.batch.outputs import BatchMismatch, RowFolder
from tests.batch.rows import read_rows, row


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
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "_batch.json").write_text("[]")
    with pytest.raises(BatchMismatch, match="not the description of a batch"):
        RowFolder(str(tmp_path / "other"), "jsonl").open({})
    with pytest.raises(BatchMismatch, match="another format"):
        RowFolder(str(tmp_path), "parquet").open({"digest": "a"})


def test_a_file_is_no_output_folder_and_stays(tmp_path: Path) -> None:
    (tmp_path / "mine.mp4").write_bytes(b"mine")
    with pytest.raises(NotADirectoryError, match=r"is a file\. Name a folder for the rows"):
        RowFolder(str(tmp_path / "mine.mp4"), "jsonl").open({})
    assert (tmp_path / "mine.mp4").read_bytes() == b"mine"


def test_an_incomplete_part_is_ignored(tmp_path: Path) -> None:
    folder = RowFolder(str(tmp_path), "jsonl")
    folder.open({})
    (tmp_path / ".part-0-00000.jsonl.0").write_bytes(b'{"file": "half')
    assert folder.files() == set()
