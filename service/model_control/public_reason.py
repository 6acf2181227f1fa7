"""Turns the error of a model into a reason that /health may show to anybody."""

import re
from pathlib import Path

from service.inference.errors import InferenceError
from service.video.errors import DecoderFailed

MAX_REASON_CHARACTERS = 1000
UNEXPECTED = "loading did not complete; the log of the service has the error"

_ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<>])/(?:[^\s/'\":,;()]+/)*([^\s/'\":,;()]*)")


def public_reason(error: BaseException, models_dir: Path) -> str:
    """Why a model was not loaded: paths begin with its name, and no other path shows its directories."""
    if not isinstance(error, InferenceError | DecoderFailed):
        return UNEXPECTED
    reason = str(error)
    for prefix in {models_dir, models_dir.absolute(), models_dir.resolve()}:
        reason = reason.replace(f"{prefix}/", "").replace(str(prefix.absolute()), "the models directory")
    reason = _ABSOLUTE_PATH.sub(r"\1", reason)
    return reason if len(reason) <= MAX_REASON_CHARACTERS else f"{reason[: MAX_REASON_CHARACTERS - 1]}…"
