"""The progress display of commands."""

import pytest

from model_training.progress import RunProgress


def test_names_with_brackets_and_colons_are_printed_literally(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "Title [dQw4w9WgXcQ] [red] :cat: [/red].mp4"
    with RunProgress() as display:
        display.log(f"left out: {name}")
        with display.bar(name, 1, "videos") as on_video:
            on_video()
    said = capsys.readouterr().err
    assert f"left out: {name}\n" in said
    assert f"{name}: 1 of 1 videos\n" in said
