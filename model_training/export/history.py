"""What the epochs of a run say about it afterwards. Knows nothing of TensorFlow."""

from collections.abc import Sequence
from typing import Any


def pruning_effects(history: Sequence[dict[str, Any]], pruned_stages: Sequence[str]) -> list[dict[str, Any]]:
    """For each pruned stage: sparsity, validation loss and accuracy of the weights kept before it and after it.

    `before` is absent where nothing was trained before.
    """
    effects = []
    for stage in pruned_stages:
        places = [place for place, entry in enumerate(history) if entry["stage"] == stage]
        before = [entry for entry in history[: places[0]] if entry["is_kept"]] if places else []
        after = [history[place] for place in places if history[place]["is_kept"]]
        sides = {"before": before, "after": after}
        effects.append({"stage": stage} | {side: _figures(kept[-1]) for side, kept in sides.items() if kept})
    return effects


def _figures(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("sparsity", "validation_loss", "validation_accuracy")}
