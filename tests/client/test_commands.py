"""The command `framewise` inside the test's process: which files are taken, what is written, how errors are told."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from framewise.cli.app import app
from tests.client.faulty_servers import stay_silent, tcp_server
from tests.conftest import KeyedService
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow

Run = Callable[..., Result]


@pytest.fixture
def run(service_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the command in an empty folder, with the shared service."""
    monkeypatch.setenv("FRAMEWISE_URL", service_url)
    monkeypatch.delenv("FRAMEWISE_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **options: CliRunner().invoke(app, [str(argument) for argument in arguments], **options)


def rows(result: Result) -> list[dict[str, object]]:
    """The JSON lines on standard output."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_missing_file_does_not_stop_the_others(run: Run, dark: Path) -> None:
    done = run("predict", "nope.mp4", dark, "gone/*.mp4", "--json")
    assert done.exit_code == 1
    assert [(row["file"], row["prediction"] is None) for row in rows(done)] == [
        ("nope.mp4", True),
        (str(dark), False),
        ("gone/*.mp4", True),
    ]
    assert "nope.mp4: No such file or directory" in done.stderr
    assert "gone/*.mp4: no file matches the pattern" in done.stderr


def test_folders_and_patterns_stand_for_their_videos(run: Run, dark: Path, tmp_path: Path) -> None:
    content = dark.read_bytes()
    for name in ("in/b.mp4", "in/a.MP4", "in/below/c.mkv", "in/.hidden.mp4", "in/notes.txt", "x1.mp4", "x2.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "empty").mkdir()
    done = run("validate", "in", "x*.mp4", "empty", "--json", "--concurrency", "4")
    assert [row["file"] for row in rows(done)] == [
        "in/a.MP4",
        "in/b.mp4",
        "in/below/c.mkv",
        "x1.mp4",
        "x2.mp4",
        "empty",
    ]
    assert done.exit_code == 1
    assert "empty: the folder has no file that ends like a video" in done.stderr


def test_standard_input_is_a_video(service_url: str, dark: Path) -> None:
    for name in ("-", "/dev/stdin"):
        done = subprocess.run(
            [sys.executable, "-m", "framewise", "predict", name, "-q", "--url", service_url],
            input=dark.read_bytes(),
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout.decode()) == (0, f"{name}: dark 96.9%\n"), done.stderr


def test_output_in_any_encoding_has_the_whole_answer(service_url: str, dark: Path, tmp_path: Path) -> None:
    video = tmp_path / "🎬 é.mp4"
    video.write_bytes(dark.read_bytes())
    for encoding, form in (("ascii", "--csv"), ("cp1252", "--frames=all")):
        done = subprocess.run(
            [sys.executable, "-m", "framewise", "predict", video, form, "--url", service_url],
            env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        text = done.stdout.decode(encoding)
        assert r"\U0001f3ac" in text
        assert "dark" in text
        if form != "--csv":
            assert "attention per frame" in text
            assert "#" in text


def test_options_reach_the_service(run: Run, ramp: Path) -> None:
    (row,) = rows(
        run("predict", ramp, "--json", "--top-k", 1, "--threshold", 0.5, "--frames", "none", "--deadline", 50)
    )
    assert len(row["probabilities"]) == 1  # type: ignore[arg-type]
    assert row["prediction"]["accepted"] is True  # type: ignore[index]
    assert row["frames"] == []
    for option in (["--top-k", "0"], ["--threshold", "2"], ["--frames", "some"], ["--concurrency", "0"]):
        assert run("predict", ramp, *option).exit_code == 2


def test_every_file_has_a_csv_row_and_the_header_comes_first(run: Run, not_a_video: Path, dark: Path) -> None:
    done = run("predict", not_a_video, dark, "--csv", "--frames", "none")
    table = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["file"], row["label"], row["problem"]) for row in table] == [
        (str(not_a_video), "", "unsupported_media"),
        (str(dark), "dark", ""),
    ]


def test_several_videos_at_once_keep_their_order_and_names(run: Run, dark: Path, not_a_video: Path) -> None:
    bright = painted(dark.with_name("bright.mp4"), [240] * 16)
    files = [dark, bright, not_a_video] * 4
    done = run("predict", *files, "--json", "--concurrency", 6)
    labels = [row["prediction"]["label"] if row["prediction"] else None for row in rows(done)]  # type: ignore[index]
    assert [row["file"] for row in rows(done)] == [str(file) for file in files]
    assert labels == ["dark", "bright", None] * 4


def test_results_go_into_a_file_that_replaces_none(run: Run, dark: Path, not_a_video: Path, tmp_path: Path) -> None:
    assert run("predict", dark, not_a_video, "--json", "--output", "out.jsonl").exit_code == 1
    first = (tmp_path / "out.jsonl").read_text()
    assert [json.loads(line)["file"] for line in first.splitlines()] == [str(dark), str(not_a_video)]
    done = run("predict", dark, "--output", "out.jsonl")
    assert (done.exit_code, (tmp_path / "out.jsonl").read_text()) == (2, first)
    assert "out.jsonl exists. Choose another name, or replace it with --force." in done.stderr
    assert run("predict", dark, "-q", "--output", "out.jsonl", "--force").exit_code == 0
    assert (tmp_path / "out.jsonl").read_text() == f"{dark}: dark 96.9%\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    for target, fault in (("nodir/out", "The folder nodir does not exist"), (".", "is a folder")):
        done = run("predict", dark, "--output", target)
        assert done.exit_code == 2
        assert fault in done.stderr


@pytest.mark.parametrize("kind", ["same", "relative", "symbolic link", "hard link", "folder"])
@pytest.mark.parametrize("command", ["annotate", "predict"])
def test_no_command_writes_over_its_input(kind: str, command: str, run: Run, dark: Path, tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    video.write_bytes(dark.read_bytes())
    target = tmp_path / "out.mp4"
    if kind == "symbolic link":
        target.symlink_to(video)
    elif kind == "hard link":
        target.hardlink_to(video)
    elif kind == "relative":
        target = Path("./video.mp4")
    else:
        target = video
    source = tmp_path if kind == "folder" and command == "predict" else video
    arguments = ["annotate", source, target] if command == "annotate" else ["predict", source, "--output", target]
    for force in ([], ["--force"]):
        done = run(*arguments, *force)
        assert done.exit_code == 2
        assert "is the input file itself" in done.stderr
        assert video.read_bytes() == dark.read_bytes()


def test_annotate_names_the_file_that_is_at_fault(run: Run, dark: Path, not_a_video: Path, tmp_path: Path) -> None:
    (tmp_path / "there.MP4").write_bytes(b"mine")
    (tmp_path / "folder.mp4").mkdir()
    for arguments, status, message in (
        ([dark, "nodir/out.mp4"], 2, "The folder nodir does not exist."),
        ([dark, "there.MP4"], 2, "there.MP4 exists."),
        ([dark, "folder.mp4", "--force"], 2, "folder.mp4 is a folder."),
        (["nope.mp4", "out.mp4"], 1, "nope.mp4: No such file or directory"),
        ([not_a_video, "out.mp4"], 1, f"{not_a_video}: This is not a video"),
        (["/dev/null", "out.mp4"], 1, "/dev/null: it is no regular file"),
    ):
        done = run("annotate", *arguments)
        assert done.exit_code == status, done.output
        assert message in done.stderr
    assert (tmp_path / "there.MP4").read_bytes() == b"mine"
    done = run("annotate", dark, "there.MP4", "--force")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "there.MP4").read_bytes()[4:8] == b"ftyp"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.mp4", "there.MP4"]


def test_a_long_video_is_annotated_as_a_job(
    keyed_service: KeyedService, dark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAMEWISE_API_KEY", f"{keyed_service.key}\n")
    done = CliRunner().invoke(
        app, ["annotate", str(dark), str(tmp_path / "out.mp4"), "--jobs", "--url", keyed_service.url]
    )
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("variable", "value", "arguments", "message"),
    [
        ("NO_PROXY", "", ["--url", "http://[::1"], "'http://[::1' is not the address of a service. Write http://host:"),
        ("ALL_PROXY", "socks5://127.0.0.1:1", [], "ALL_PROXY cannot be used: it names a SOCKS proxy."),
        ("FRAMEWISE_API_KEY", "geheim\nä", [], "The API key cannot be sent"),
        ("HTTP_PROXY", "http://127.0.0.1:9", ["--url", "http://192.0.2.1"], "the proxy that HTTP_PROXY names"),
    ],
)
def test_faults_of_address_key_and_proxy_are_one_line(
    variable: str, value: str, arguments: list[str], message: str, run: Run
) -> None:
    done = run("models", *arguments, env={variable: value})
    assert done.exit_code == (3 if variable == "HTTP_PROXY" else 2)
    (line,) = done.stderr.splitlines()
    assert message in line
    assert "geheim" not in line


def test_a_service_that_never_responds_is_left_and_every_file_has_its_row(run: Run, dark: Path) -> None:
    with tcp_server(stay_silent) as url:
        assert run("health", "--url", url, "--timeout", 0.3).exit_code == 3
        done = run("predict", dark, dark, "--json", "--url", url, "--timeout", 0.3)
    assert done.exit_code == 3
    assert [(row["file"], row["problem"]["code"]) for row in rows(done)] == [  # type: ignore[index]
        (str(dark), "service_unreachable")
    ] * 2
    refused = run("predict", dark, dark, "--csv", "--url", "http://127.0.0.1:9", "--concurrency", 2)
    assert refused.exit_code == 3
    assert [row["problem"] for row in csv.DictReader(io.StringIO(refused.stdout))] == ["service_unreachable"] * 2


def test_models_and_health_are_printed_as_json_and_uncut(run: Run, service_url: str) -> None:
    (model,) = rows(run("models", "--json"))
    assert model == httpx.get(f"{service_url}/models").json()["models"][0]
    (health,) = rows(run("health", "--json"))
    assert health["state"] == "ready"
    assert f"* grey/1  dark, bright  {model['description']}" in run("models").stdout


def test_completion_can_be_installed(run: Run) -> None:
    assert "--install-completion" in run("--help").stdout


def test_a_name_that_is_no_utf_8_is_printed_with_escapes(run: Run, dark: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    (tmp_path / name).write_bytes(dark.read_bytes())
    (row,) = rows(run("predict", name, "--json"))
    assert row["file"] == r"caf\xe9.mp4"
    assert run("predict", name).exit_code == 0
