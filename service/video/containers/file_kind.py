"""Names the format of a file that cannot be opened, for the error message. Decodes nothing."""

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import av.logging
from av.format import ContainerFormat

_HEAD_BYTES = 64

# (offset, bytes, format) of supported containers: such a file is damaged if it cannot be opened.
_SIGNATURES = (
    (4, b"ftyp", "MP4"),
    (4, b"moov", "QuickTime"),
    (4, b"mdat", "QuickTime"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (8, b"AVI ", "AVI"),
    (0, b"FLV\x01", "FLV"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF"),
    (0, b"GIF8", "GIF"),
    (0, b"DKIF", "IVF"),
    (0, b"DHAV", "DAV"),
    (0, b"YUV4MPEG2", "Y4M"),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "MXF"),
    (0, b"nut/multimedia container\0", "NUT"),
)

# Formats that FFmpeg cannot demux.
_OTHER_SIGNATURES = (
    (0, b"%PDF", "PDF"),
    (0, b"PK\3\4", "ZIP"),
    (0, b"Rar!", "RAR"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
)

_GUESSED = frozenset({"aac", "ac3", "loas", "mp3", "tty"})
"""Demuxers that FFmpeg often guesses for files of other kinds."""
_CONTROL_CHARACTERS = frozenset(range(32)) - frozenset(b"\t\n\r\f")

_IMAGE_SUFFIX = "_pipe"
_NOT_ON_WHITELIST = "Format not on whitelist"


@dataclass(frozen=True, slots=True)
class FileKind:
    """Format of a file that cannot be opened, as a sentence; `is_supported` if the file is only damaged."""

    sentence: str
    is_supported: bool = False


def file_kind(path: Path, supported_demuxers: Container[str]) -> FileKind:
    """Detect the format of the file at `path` by its first bytes and by FFmpeg's guess."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if (name := _by_signature(head, _SIGNATURES)) is not None:
        sentence = f"This looks like {name}, but it cannot be opened: the file is incomplete or damaged."
        return FileKind(sentence, is_supported=True)
    return FileKind(_sentence(head, path, supported_demuxers))


def _sentence(head: bytes, path: Path, supported_demuxers: Container[str]) -> str:
    if not head:
        return "The file is empty."
    if (name := _by_signature(head, _OTHER_SIGNATURES)) is not None:
        return f"It is a {name} file."
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "It is an HTML page."
    demuxer = _refused_demuxer(path)
    # A supported demuxer was guessed by the file name only, because the content could not be opened.
    if demuxer is None or demuxer in supported_demuxers or (demuxer in _GUESSED and not _looks_like_mp3(head)):
        is_text = not set(head) & _CONTROL_CHARACTERS
        return "It is a text file." if is_text else "The file format is unknown."
    if demuxer.endswith(_IMAGE_SUFFIX):
        is_animated = head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)
        kind = "an animated" if is_animated else "a still"
        return f"It is {kind} image ({demuxer.removesuffix(_IMAGE_SUFFIX).upper()})."
    name = ContainerFormat(demuxer, "r").long_name
    # Raw streams have no signature, so FFmpeg sometimes mistakes other files for one.
    return f"The file format may be {name}." if name.startswith("raw") else f"The file format is {name}."


def _looks_like_mp3(head: bytes) -> bool:
    return head.startswith(b"ID3") or (head[0] == 0xFF and head[1] & 0xE0 == 0xE0)  # noqa: PLR2004 - its sync word


def _by_signature(head: bytes, signatures: tuple[tuple[int, bytes, str], ...]) -> str | None:
    return next((name for offset, signature, name in signatures if head[offset:].startswith(signature)), None)


def _refused_demuxer(path: Path) -> str | None:
    """Name of the demuxer that FFmpeg would choose; None if it finds none."""
    # FFmpeg names it only in its log. The allow list is empty, so that nothing is opened.
    level, skips_repeated = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as logs:
            av.open(str(path.resolve()), container_options={"format_whitelist": "-", "protocol_whitelist": "file"})
    except (av.error.FFmpegError, MemoryError, OverflowError):
        pass
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips_repeated)
    return next((name for _, name, message in logs if message.startswith(_NOT_ON_WHITELIST)), None)
