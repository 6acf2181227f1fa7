"""Whether a card tells the truth: its figures, measured again, against those it states."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from model_training.figures import Assessment

TOLERANCE = 0.005
"""How far a figure may be off, absolutely or relatively. Kernels of another kind of processor move probabilities
by less; a video whose answer flips moves a count by 1 and is a difference, which is to be looked at."""
_NEVER_THE_SAME = frozenset(["cost"])
_ROUNDING = 1e-4
_Tolerances = Callable[[str], float]


def differences(stated: Assessment, measured: Assessment, tolerance: float = TOLERANCE) -> list[str]:
    """One line for each figure that is off by more than `tolerance`; costs are left out, digests must be equal.

    Under each change of `robustness` one video may be answered otherwise: that is written anew here, by scalers
    and encoders whose pixels may differ from one kind of processor to another.
    """
    one_video = max(tolerance, 1 / stated.robustness.num_videos + _ROUNDING)

    def tolerance_of(where: str) -> float:
        is_written_anew = where.startswith(".robustness.changes.") and where.endswith((".accuracy", ".agreement"))
        return one_video if is_written_anew else tolerance

    return list(_differences("", stated.model_dump(mode="json"), measured.model_dump(mode="json"), tolerance_of))


def _differences(where: str, stated: Any, measured: Any, tolerance_of: _Tolerances) -> Iterator[str]:
    if isinstance(stated, Mapping) and isinstance(measured, Mapping):
        for name in sorted(stated.keys() | measured.keys()):
            if name not in _NEVER_THE_SAME:
                yield from _differences(f"{where}.{name}", stated.get(name), measured.get(name), tolerance_of)
    elif _is_list(stated) and _is_list(measured) and len(stated) == len(measured):
        for place, (one, other) in enumerate(zip(stated, measured, strict=True)):
            yield from _differences(f"{where}[{place}]", one, other, tolerance_of)
    elif not _is_same(stated, measured, tolerance_of(where)):
        yield f"{where.lstrip('.')}: the card says {stated}, measured {measured}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_same(stated: Any, measured: Any, tolerance: float) -> bool:
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (stated, measured))
    if are_numbers:
        return math.isclose(stated, measured, rel_tol=tolerance, abs_tol=tolerance)
    return bool(stated == measured)
