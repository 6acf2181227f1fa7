"""Whether a card tells the truth: its figures, measured again, against those it states; its copies against it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_training.evaluation.results import Assessment
from model_training.export.card import Card
from model_training.export.card_markdown import card_markdown
from service.inference.manifest import CARD_JSON_NAME, CARD_NAME, Manifest

TOLERANCE = 0.005
"""How far a figure may be off, absolutely or relatively. Kernels of another kind of processor move probabilities
by less; a video whose answer flips moves a count by 1 and is a difference, which is to be looked at."""
_NEVER_THE_SAME = frozenset(["cost"])
_ROUNDING = 1e-4
_ALSO_IN_MANIFEST = {"name", "version", "description", "created_at", "labels", "clip", "combine", "temperature"}
_Tolerances = Callable[[str], float]


@dataclass(frozen=True, slots=True)
class _Unlike:
    """A place where what the card states and what was found differ."""

    where: str
    stated: Any
    found: Any


def differences(stated: Assessment, measured: Assessment, tolerance: float = TOLERANCE) -> list[str]:
    """One line for each figure that is off by more than `tolerance`; costs are left out, digests must be equal.

    Under each change of `robustness` one video may be answered otherwise: that is written anew here, by scalers
    and encoders whose pixels may differ from one kind of processor to another.
    """
    one_video = max(tolerance, 1 / stated.robustness.num_videos + _ROUNDING)

    def tolerance_of(where: str) -> float:
        is_written_anew = where.startswith("robustness.changes.") and where.endswith((".accuracy", ".agreement"))
        return one_video if is_written_anew else tolerance

    found = _unlike("", stated.model_dump(mode="json"), measured.model_dump(mode="json"), tolerance_of)
    return [f"{one.where}: the card says {one.stated}, measured {one.found}" for one in found]


def disagreements(card: Card, markdown: str, manifest: Manifest, restated: Manifest) -> list[str]:
    """One line for each thing that the Markdown card or the manifest says otherwise than the card for programs.

    `restated` is the manifest with all that the card's assessment makes it say.
    """
    by_card = restated.model_dump(mode="json") | card.model_dump(mode="json", include=_ALSO_IN_MANIFEST)
    by_card["files"] = card.files
    by_card["metrics"] = restated.metrics | _cross_validation_of(card)
    said = manifest.model_dump(mode="json")
    said["files"] = {name: digest for name, digest in manifest.files.items() if name not in {CARD_NAME, CARD_JSON_NAME}}
    found = _unlike("", by_card, said, lambda _where: 0.0)
    lines = [f"{one.where}: the card says {one.stated}, the manifest {one.found}" for one in found]
    if markdown != card_markdown(card):
        lines.append(f"{CARD_NAME} is not what {CARD_JSON_NAME} gives; `card` writes both anew")
    return lines


def _cross_validation_of(card: Card) -> dict[str, Any]:
    # What the record does not say, being older than the field, the manifest does not say either.
    return {"cross_validation": None} | card.model_dump(mode="json", include={"cross_validation"}, exclude_unset=True)


def _unlike(where: str, stated: Any, found: Any, tolerance_of: _Tolerances) -> Iterator[_Unlike]:
    if isinstance(stated, Mapping) and isinstance(found, Mapping):
        for name in sorted(stated.keys() | found.keys()):
            if name not in _NEVER_THE_SAME:
                place = f"{where}.{name}" if where else name
                yield from _unlike(place, stated.get(name), found.get(name), tolerance_of)
    elif _is_list(stated) and _is_list(found) and len(stated) == len(found):
        for place, (one, other) in enumerate(zip(stated, found, strict=True)):
            yield from _unlike(f"{where}[{place}]", one, other, tolerance_of)
    elif not _is_same(stated, found, tolerance_of(where)):
        yield _Unlike(where, stated, found)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_same(stated: Any, measured: Any, tolerance: float) -> bool:
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (stated, measured))
    if are_numbers:
        return math.isclose(stated, measured, rel_tol=tolerance, abs_tol=tolerance)
    return bool(stated == measured)
