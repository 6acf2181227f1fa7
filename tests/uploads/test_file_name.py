"""The names of uploaded files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.uploads.file_name import MAX_FILE_NAME_CHARACTERS, displayed_file_name, form_file_name
from tests.uploads.test_receive import form, receive


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"jump.mp4", "jump.mp4"),
        ("Grüße 🎬.mp4".encode(), "Grüße 🎬.mp4"),
        (b"a %22quoted%22 name.mp4", 'a "quoted" name.mp4'),
        (b"/etc/passwd", "passwd"),
        (rb"C:\Users\me\clip.mp4", "clip.mp4"),
        (b"line\r\nbreak\x00.mp4", "linebreak.mp4"),
        ("a\u202e4pm.exe".encode(), "a4pm.exe"),
        (b"caf\xe9.mp4", "caf\ufffd.mp4"),
        (b"..", None),
        (b"folder/", None),
        (b"  ", None),
        (b"", None),
    ],
)
def test_a_name_is_shown_without_folders_and_control_characters(sent: bytes, shown: str | None) -> None:
    assert form_file_name(sent) == shown


def test_a_long_name_keeps_its_suffix() -> None:
    name = displayed_file_name("n" * 1000 + ".mp4")
    assert name is not None
    assert len(name) == MAX_FILE_NAME_CHARACTERS
    assert name.endswith("n….mp4")


@given(st.binary(max_size=600))
def test_any_name_is_bounded_and_can_be_stored(sent: bytes) -> None:
    name = form_file_name(sent)
    assert name is None or (0 < len(name) <= MAX_FILE_NAME_CHARACTERS and "\x00" not in name and name.encode())


def test_a_received_video_has_the_name_of_its_part(tmp_path: Path) -> None:
    body = form(b"video").replace(b'filename="v"', b'filename="folder/clip.mp4"')
    assert receive(body, tmp_path / "video", []).file_name == "clip.mp4"


def test_a_part_without_a_name_gives_none(tmp_path: Path) -> None:
    body = form(b"video").replace(b'; filename="v"', b"")
    assert receive(body, tmp_path / "video", []).file_name is None
