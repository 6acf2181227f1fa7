"""Reading of examples from folders and manifests, and their split. The files are not real videos."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_training.datasets.examples import Example, read_examples
from model_training.datasets.splits import split_examples
from model_training.errors import TrainingDataError


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def _dataset(directory: Path, *lines: str) -> Path:
    _touch(directory / "a.mp4", directory / "b.mp4")
    (directory / "manifest.csv").write_text("\n".join(lines) + "\n")
    return directory


def test_manifest_gives_path_label_group_fold_and_event(tmp_path: Path) -> None:
    data = _dataset(
        tmp_path,
        "path,label,group,fold,event_start_seconds,event_end_seconds",
        "a.mp4,x,scene1,3,1.5,2.25",
        "b.mp4,y,scene2,,,",
    )
    assert read_examples(data) == [
        Example(tmp_path / "a.mp4", ("x",), "scene1", 3, (1.5, 2.25)),
        Example(tmp_path / "b.mp4", ("y",), "scene2"),
    ]


def test_without_manifest_folders_are_labels_and_files_are_groups(tmp_path: Path) -> None:
    _touch(tmp_path / "cat" / "1.mp4", tmp_path / "dog" / "1.webm", tmp_path / "dog" / "notes.txt")
    assert read_examples(tmp_path) == [
        Example(tmp_path / "cat" / "1.mp4", ("cat",), "cat/1.mp4"),
        Example(tmp_path / "dog" / "1.webm", ("dog",), "dog/1.webm"),
    ]


def test_folder_without_videos_is_an_error_that_names_it(tmp_path: Path) -> None:
    _touch(tmp_path / "cat" / "1.mp4", tmp_path / "dog" / "2.mp4", tmp_path / "walk" / "notes.txt")
    with pytest.raises(TrainingDataError, match="walk: no video here"):
        read_examples(tmp_path)


def test_several_labels_are_separated_by_bars_or_a_json_list(tmp_path: Path) -> None:
    data = _dataset(tmp_path, "path,label", "a.mp4,y|x", 'b.mp4,"[""z"", ""x""]"')
    first, second = read_examples(data)
    assert (first.labels, second.labels) == (("x", "y"), ("x", "z"))
    with pytest.raises(TrainingDataError, match=r"a\.mp4: has 2 labels"):
        _ = first.label


def test_json_lines_are_read_like_csv(tmp_path: Path) -> None:
    _touch(tmp_path / "a.mp4", tmp_path / "b.mp4")
    (tmp_path / "manifest.jsonl").write_text(
        '{"path": "a.mp4", "label": "x", "group": "g", "fold": 3, "event_start_seconds": 1, "event_end_seconds": 2.5}\n'
        '\n{"path": "b.mp4", "labels": ["y", "x"], "fold": 4.0}\n'
    )
    assert read_examples(tmp_path) == [
        Example(tmp_path / "a.mp4", ("x",), "g", 3, (1.0, 2.5)),
        Example(tmp_path / "b.mp4", ("x", "y"), "b.mp4", 4),
    ]


def test_kinetics_csv_finds_segments_by_video_id(tmp_path: Path) -> None:
    _touch(tmp_path / "videos" / "abc.mp4", tmp_path / "videos" / "def_000010_000020.mp4")
    annotations = tmp_path / "kinetics.csv"
    annotations.write_text(
        "label,youtube_id,time_start,time_end,split,is_cc\nx,abc,1,11,train,0\ny,abc,21,31,train,0\ny,def,10,20,test,0\n"
    )
    assert read_examples(annotations) == [
        Example(tmp_path / "videos" / "abc.mp4", ("x",), "abc", 0, None, (1.0, 11.0)),
        Example(tmp_path / "videos" / "abc.mp4", ("y",), "abc", 0, None, (21.0, 31.0)),
        Example(tmp_path / "videos" / "def_000010_000020.mp4", ("y",), "def", 2),
    ]


def test_kinetics_json_is_read_like_its_csv(tmp_path: Path) -> None:
    _touch(tmp_path / "abc.mp4", tmp_path / "def.mp4")
    (tmp_path / "manifest.json").write_text(
        '{"abc": {"annotations": {"label": "x", "segment": [1.0, 11.0]}, "duration": 10.0, "subset": "train",'
        ' "url": "https://example.org/abc"}, "def": {"annotations": {"label": "y"}, "subset": "validate"}}'
    )
    assert read_examples(tmp_path) == [
        Example(tmp_path / "abc.mp4", ("x",), "abc", 0, None, (1.0, 11.0)),
        Example(tmp_path / "def.mp4", ("y",), "def", 1),
    ]


def test_two_manifests_in_one_folder_are_an_error(tmp_path: Path) -> None:
    data = _dataset(tmp_path, "path,label", "a.mp4,x", "b.mp4,y")
    (data / "manifest.json").write_text("{}")
    with pytest.raises(TrainingDataError, match=r"holds manifest\.csv and manifest\.json"):
        read_examples(data)


@pytest.mark.parametrize(
    ("name", "lines", "sentence"),
    [
        ("manifest.csv", ("path,class", "a.mp4,x"), "line 1: unknown column 'class'"),
        ("manifest.csv", ("path,lable", "a.mp4,x"), "line 1: unknown column 'lable' (did you mean 'label'?)"),
        ("manifest.csv", ("path,group", "a.mp4,x"), "line 1: the column 'label' is missing"),
        ("manifest.csv", ("label,group", "x,a"), "line 1: the column 'path' or 'id' is missing"),
        ("manifest.csv", ("",), "line 1: the column 'label' is missing"),
        ("manifest.csv", ("path,label", "a.mp4,x", "nowhere.mp4,y"), "line 3: no such file: nowhere.mp4"),
        ("manifest.csv", ("path,label", ",x"), "line 2: no such file: (empty path)"),
        ("manifest.csv", ("path,label", "a.mp4,"), "line 2: empty label"),
        ("manifest.csv", ("path,label", "a.mp4,x|"), "line 2: empty label"),
        ("manifest.csv", ("path,label", "a.mp4,x|x"), "line 2: a label is repeated"),
        ("manifest.csv", ("path,label,fold", "a.mp4,x,one"), "line 2: the fold is not an integer: 'one'"),
        ("manifest.csv", ("path,label,fold", "a.mp4,x"), "line 2: the number of cells differs"),
        ("manifest.csv", ("path,label,start_seconds,end_seconds", "a.mp4,x,2,"), "line 2: start_seconds and end_sec"),
        ("manifest.csv", ("path,label,start_seconds,end_seconds", "a.mp4,x,2,b"), "line 2: not a number"),
        ("manifest.csv", ("path,label,start_seconds,end_seconds", "a.mp4,x,3,2"), "line 2: start_seconds 3 must be"),
        ("manifest.csv", ("path,label", "a.mp4,x", "a.mp4,y"), "line 3: a.mp4 is listed more than once"),
        ("manifest.csv", ("path,label", "a.mp4,x", "b.mp4,x"), "at least two labels are needed"),
        ("manifest.csv", ("path,label", 'a.mp4,"x'), "line 2: not CSV"),
        ("manifest.csv", ("youtube_id,label,split", "zzz,x,train"), "is named zzz"),
        ("manifest.csv", ("youtube_id,label,split", "a,x,holdout"), "line 2: unknown split 'holdout'"),
        ("manifest.jsonl", ('{"path": "a.mp4", "label": "x"}', "{"), "line 2: not JSON"),
        ("manifest.jsonl", ("[]",), "line 1: not a JSON object"),
        ("manifest.jsonl", ('{"path": "a.mp4", "label": 7}',), "line 1: not a label or a list of labels"),
        ("manifest.jsonl", ("[" * 100_000,), "line 1: not JSON"),
        ("manifest.jsonl", ('{"path": "a.mp4", "label": "x", "fold": 1e999}',), "line 1: the fold is not an int"),
        (
            "manifest.jsonl",
            ('{"path": "a.mp4", "label": "x", "fold": 1.7}',),
            "line 1: the fold is not an integer: 1.7",
        ),
        ("manifest.jsonl", ('{"path": "a.mp4", "label": "x", "fold": true}',), "line 1: the fold is not an int"),
        ("manifest.jsonl", ('{"path": "a.mp4", "label": "x", "fold": [1]}',), "line 1: the fold is not an int"),
        (
            "manifest.jsonl",
            (f'{{"path": "a.mp4", "label": "x", "start_seconds": 0, "end_seconds": 1{"0" * 400}}}',),
            "line 1: not a number",
        ),
        ("manifest.csv", ("path,label,fold", "a.mp4,x,1e999"), "line 2: the fold is not an integer: '1e999'"),
        ("manifest.csv", ("path,label,fold", "a.mp4,x,1.7"), "line 2: the fold is not an integer: '1.7'"),
        ("manifest.json", ("[]",), "not in the format of Kinetics"),
        ("manifest.json", ('{"a": {"subset": "train"}}',), "video 'a': no \"annotations\""),
    ],
)
def test_invalid_manifest_error_names_file_and_line_in_one_sentence(
    tmp_path: Path, name: str, lines: tuple[str, ...], sentence: str
) -> None:
    _touch(tmp_path / "a.mp4", tmp_path / "b.mp4")
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    with pytest.raises(TrainingDataError) as caught:
        read_examples(tmp_path)
    assert sentence in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def _examples(groups: list[tuple[str, int]]) -> list[Example]:
    return [
        Example(Path(f"{number}-{i}.mp4"), (label,), f"g{number}", number % 5)
        for number, (label, size) in enumerate(groups)
        for i in range(size)
    ]


@given(
    st.lists(st.tuples(st.sampled_from("xy"), st.integers(1, 6)), min_size=12, max_size=40),
    st.integers(0, 1000),
)
def test_split_never_divides_a_group(groups: list[tuple[str, int]], seed: int) -> None:
    examples = _examples([("x", 1), ("y", 1), *groups, ("x", 1), ("y", 1), ("x", 2), ("y", 2)])
    split = split_examples(examples, held_out_fold=None, validation_fraction=0.25, seed=seed)
    training, validation = ({e.group for e in part} for part in (split.training, split.validation))
    assert not training & validation
    assert len(split.training) + len(split.validation) == len(examples)
    assert split == split_examples(examples, held_out_fold=None, validation_fraction=0.25, seed=seed)


def test_held_out_fold_is_in_no_other_part() -> None:
    examples = _examples([("x", 2), ("y", 2)] * 10)
    split = split_examples(examples, held_out_fold=3, validation_fraction=0.2, seed=0)
    assert {e.fold for e in split.held_out} == {3}
    assert 3 not in {e.fold for e in (*split.training, *split.validation)}


def test_label_with_a_single_group_is_an_error() -> None:
    with pytest.raises(TrainingDataError, match="label 'y' has too few groups"):
        split_examples(_examples([("x", 3), ("x", 3), ("y", 3)]), held_out_fold=None, validation_fraction=0.3, seed=0)


def test_validation_gets_its_fraction_of_videos_without_label() -> None:
    examples = [Example(Path(f"{n}.mp4"), ("x",) if n % 2 else (), f"g{n}") for n in range(40)]
    split = split_examples(examples, held_out_fold=None, validation_fraction=0.2, seed=0)
    assert [sum(not e.labels for e in part) for part in (split.training, split.validation)] == [16, 4]
