"""The name of an uploaded file, made safe to store and to show."""

import re
import unicodedata
from pathlib import PurePosixPath

MAX_FILE_NAME_CHARACTERS = 255
# Control characters, lone surrogates, and line and paragraph separators.
_UNPRINTABLE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# They change the direction of the text that follows: `a<U+202E>4pm.exe` would be shown as `aexe.mp4`.
_BIDIRECTIONAL_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def displayed_file_name(name: str) -> str | None:
    """The last part of a path that a client sent, without control characters; None if nothing is left.

    A longer name than `MAX_FILE_NAME_CHARACTERS` loses its middle, so that the suffix stays.
    """
    last = re.split(r"[/\\]", name)[-1]
    shown = "".join(character for character in last if _is_shown(character)).strip()
    if shown in {"", ".", ".."}:
        return None
    if len(shown) > MAX_FILE_NAME_CHARACTERS:
        suffix = PurePosixPath(shown).suffix[:16]
        shown = f"{shown[: MAX_FILE_NAME_CHARACTERS - 1 - len(suffix)]}…{suffix}"
    return shown


def form_file_name(parameter: bytes) -> str | None:
    """The displayed name of a `filename` parameter of a form; browsers and curl send it in UTF-8, quotes as `%22`."""
    return displayed_file_name(parameter.decode(errors="replace").replace("%22", '"'))


def _is_shown(character: str) -> bool:
    return character not in _BIDIRECTIONAL_CONTROLS and unicodedata.category(character) not in _UNPRINTABLE_CATEGORIES
