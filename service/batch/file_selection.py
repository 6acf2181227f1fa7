"""Chooses the files of a folder that a batch classifies."""

from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from framewise.schemas.video_suffixes import VIDEO_SUFFIXES

HEAD_BYTES = 64
"""Bytes from the start of a file that `is_other_content` needs."""

_VIDEO_HEADS = (b"YUV4MPEG2", b"nut/multimedia")
# Of documents, archives, pictures, sounds and the notes of file managers.
_OTHER_HEADS = (
    *(b"%PDF", b"PK\3\4", b"Rar!", b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"SQLite format 3", b"\xd0\xcf\x11\xe0"),
    *(b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*", b"ID3", b"fLaC", b"\0\0\0\1Bud1", b"PAR1"),
)
_RIFF_OTHERS = (b"WAVE", b"WEBP")
_TEXT_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_ANIMATED_PNG = b"acTL"
_CONTROL_CHARACTERS = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")


def is_hidden(name: str) -> bool:
    """Whether the file, or a folder above it, has a name that begins with a dot."""
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def matches(name: str, patterns: Collection[str]) -> bool:
    """Whether a pattern such as `*.mp4` matches the name or its last part, in any case."""
    path = PurePosixPath(name.lower())
    return any(fnmatchcase(text, pattern.lower()) for pattern in patterns for text in (str(path), path.name))


def has_video_suffix(name: str) -> bool:
    """Whether the name ends like that of a video."""
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def is_other_content(head: bytes) -> bool:
    """Whether a file that begins with `head` is certainly no video: text, a document, a picture or a sound, or empty.

    Unknown content may be a video.
    """
    if head.startswith(_VIDEO_HEADS):
        return False
    if head.startswith(_OTHER_HEADS):
        return _ANIMATED_PNG not in head
    if head.startswith(b"RIFF"):
        return head[8:12] in _RIFF_OTHERS
    return head.startswith(_TEXT_MARKS) or not set(head) & _CONTROL_CHARACTERS
