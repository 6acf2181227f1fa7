"""Whether a card tells the truth: its figures, measured again, against those it states."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_training.figures import Assessment

TOLERANCE = 0.005
"""How far a figure may be off, absolutely or relatively. Kernels of another kind of processor move probabilities
by less; a video whose answer flips moves a count by 1 and is a difference, which is to be looked at."""
_NEVER_THE_SAME = frozenset(["cost"])


def differences(stated: Assessment, measured: Assessment, tolerance: float = TOLERANCE) -> list[str]:
    """One line for each figure that is off by more than `tolerance`; costs are left out, digests must be equal."""
    return list(_differences("", stated.model_dump(mode="json"), measured.model_dump(mode="json"), tolerance))


def _differences(where: str, stated: Any, measured: Any, tolerance: float) -> Iterator[str]:
    if isinstance(stated, Mapping) and isinstance(measured, Mapping):
        for name in sorted(stated.keys() | measured.keys()):
            if name not in _NEVER_THE_SAME:
                yield from _differences(f"{where}.{name}", stated.get(name), measured.get(name), tolerance)
    elif _is_list(stated) and _is_list(measured) and len(stated) == len(measured):
        for place, (one, other) in enumerate(zip(stated, measured, strict=True)):
            yield from _differences(f"{where}[{place}]", one, other, tolerance)
    elif not _is_same(stated, measured, tolerance):
        yield f"{where.lstrip('.')}: the card says {stated}, measured {measured}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_same(stated: Any, measured: Any, tolerance: float) -> bool:
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (stated, measured))
    if are_numbers:
        return math.isclose(stated, measured, rel_tol=tolerance, abs_tol=tolerance)
    return bool(stated == measured)
