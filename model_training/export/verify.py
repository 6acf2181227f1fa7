"""Compares a card with newly measured results, and with the Markdown and the manifest."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_training.evaluation.results import Assessment
from model_training.export.card import Card
from model_training.export.card_markdown import card_markdown
from service.inference.manifest import CARD_JSON_NAME, CARD_NAME, Manifest

TOLERANCE = 0.005
"""Absolute or relative difference that is allowed. Kernels of another CPU type change probabilities by less;
a changed prediction of a video changes a count by 1, which is reported."""
_NOT_COMPARED = frozenset(["cost"])
_ROUNDING = 1e-4
_ALSO_IN_MANIFEST = {"name", "version", "description", "created_at", "labels", "clip", "combine", "temperature"}
_Tolerances = Callable[[str], float]


@dataclass(frozen=True, slots=True)
class _Mismatch:
    """A value of the card that differs from the found one; `where` is its JSON path."""

    where: str
    stated: Any
    found: Any


def differences(stated: Assessment, measured: Assessment, tolerance: float = TOLERANCE) -> list[str]:
    """One line for each metric that differs by more than `tolerance`; costs are ignored, digests must be equal.

    In each change of `robustness` one video may be predicted differently: scalers and encoders may produce other
    pixels on another CPU type.
    """
    one_video = max(tolerance, 1 / stated.robustness.num_videos + _ROUNDING)

    def tolerance_of(where: str) -> float:
        is_reencoded = where.startswith("robustness.changes.") and where.endswith((".accuracy", ".agreement"))
        return one_video if is_reencoded else tolerance

    found = _mismatches("", stated.model_dump(mode="json"), measured.model_dump(mode="json"), tolerance_of)
    return [f"{mismatch.where}: the card says {mismatch.stated}, measured {mismatch.found}" for mismatch in found]


def disagreements(card: Card, markdown: str, manifest: Manifest, restated: Manifest) -> list[str]:
    """One line for each value of the Markdown card or the manifest that differs from the JSON card.

    `restated` is the manifest with the results of the card's assessment.
    """
    by_card = restated.model_dump(mode="json") | card.model_dump(mode="json", include=_ALSO_IN_MANIFEST)
    by_card["files"] = card.files
    by_card["metrics"] = restated.metrics | _cross_validation_of(card)
    stated_manifest = manifest.model_dump(mode="json")
    stated_manifest["files"] = {
        name: digest for name, digest in manifest.files.items() if name not in {CARD_NAME, CARD_JSON_NAME}
    }
    found = _mismatches("", by_card, stated_manifest, lambda _where: 0.0)
    lines = [f"{mismatch.where}: the card says {mismatch.stated}, the manifest {mismatch.found}" for mismatch in found]
    if markdown != card_markdown(card):
        lines.append(f"{CARD_NAME} does not match {CARD_JSON_NAME}; the command `card` writes both again")
    return lines


def _cross_validation_of(card: Card) -> dict[str, Any]:
    # Older records lack newer fields, and so do their copies in the manifest.
    return {"cross_validation": None} | card.model_dump(mode="json", include={"cross_validation"}, exclude_unset=True)


def _mismatches(where: str, stated: Any, found: Any, tolerance_of: _Tolerances) -> Iterator[_Mismatch]:
    if isinstance(stated, Mapping) and isinstance(found, Mapping):
        for name in sorted(stated.keys() | found.keys()):
            if name not in _NOT_COMPARED:
                path = f"{where}.{name}" if where else name
                yield from _mismatches(path, stated.get(name), found.get(name), tolerance_of)
    elif _is_list(stated) and _is_list(found) and len(stated) == len(found):
        for index, (one, other) in enumerate(zip(stated, found, strict=True)):
            yield from _mismatches(f"{where}[{index}]", one, other, tolerance_of)
    elif not _is_same(stated, found, tolerance_of(where)):
        yield _Mismatch(where, stated, found)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_same(stated: Any, measured: Any, tolerance: float) -> bool:
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (stated, measured))
    if are_numbers:
        return math.isclose(stated, measured, rel_tol=tolerance, abs_tol=tolerance)
    return bool(stated == measured)
