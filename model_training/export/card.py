"""The model card for programs (`MODEL_CARD.json`); `card_markdown` writes it for people."""

from collections.abc import Sequence
from typing import Any, Literal

from model_training.config import TrainConfig
from model_training.evaluation.results import Assessment, CrossValidation, Result
from service.inference.manifest import Manifest
from service.video.clip import ClipSpec

_COMMON_COMMANDS = {
    "evaluate": "python -m model_training evaluate --model models/{name}/{version} --data DIR{folds}",
    "verify": "python -m model_training verify --model models/{name}/{version} --data DIR",
}


class Card(Result):
    """The content of a model card. `files` contains the digests of all files but the manifest and the cards."""

    schema_version: Literal[1] = 1
    name: str
    version: str
    description: str
    created_at: str
    labels: tuple[str, ...]
    clip: ClipSpec
    combine: Literal["mean", "max"]
    temperature: float
    network: str
    num_parameters: int
    data_source: str
    data_licence: str
    protocol: str
    label_set_coverage: float
    attention_weight_in_loss: float
    limits: str
    intended_use: str
    refused_use: str
    hardware: str
    expected_result: str
    seed: int
    num_epochs: int
    history: tuple[dict[str, Any], ...] = ()
    """Metrics of each epoch; empty if they were not recorded."""
    pruning: tuple[dict[str, Any], ...] = ()
    """For each pruned stage, sparsity and validation metrics of the weights kept before and after it."""
    package_versions: dict[str, str]
    commands: dict[str, str]
    files: dict[str, str]
    cross_validation: CrossValidation | None = None
    """Metrics of other networks with the same config; None without cross-validation."""
    assessment: Assessment
    """The results that `verify` measures again."""

    def to_json(self) -> str:
        """The text of `MODEL_CARD.json`; equal cards give equal text."""
        return self.model_dump_json(indent=1) + "\n"


def build_card(
    manifest: Manifest, config: TrainConfig, assessment: Assessment, history: tuple[dict[str, Any], ...]
) -> Card:
    """Build the card of a model; `manifest.files` contains only the SavedModel and the golden clips."""
    folds = "" if config.held_out_fold is None else f" --folds {config.held_out_fold}"
    return Card(
        name=manifest.name,
        version=manifest.version,
        description=manifest.description,
        created_at=manifest.created_at,
        labels=manifest.labels,
        clip=manifest.clip,
        combine=manifest.combine,
        temperature=manifest.temperature,
        network=_network(config),
        num_parameters=manifest.training["num_parameters"],
        data_source=config.data_source,
        data_licence=config.data_licence,
        protocol=_protocol(config, manifest.metrics.get("cross_validation"), manifest.training.get("num_leaks", 0)),
        label_set_coverage=config.label_set_coverage,
        attention_weight_in_loss=config.loss.attention_weight,
        limits=config.limits,
        intended_use=config.intended_use,
        refused_use=config.refused_use,
        hardware=config.hardware,
        expected_result=config.expected_result,
        seed=config.seed,
        num_epochs=manifest.training["num_epochs"],
        history=history,
        pruning=tuple(pruning_effects(history, [stage.name for stage in config.stages if stage.pruned_fraction > 0])),
        package_versions=manifest.training["versions"],
        # Older models did not record the command; their config states it.
        commands={"train": manifest.training.get("command", config.command)}
        | {
            name: command.format(name=manifest.name, version=manifest.version, folds=folds)
            for name, command in _COMMON_COMMANDS.items()
        },
        files=manifest.files,
        cross_validation=manifest.metrics.get("cross_validation"),
        assessment=assessment,
    )


def _network(config: TrainConfig) -> str:
    crop = config.motion_crop
    cropped = "" if crop is None else f", on the square with the most movement, {crop.size}x{crop.size}"
    return f"{config.backbone}, {config.architecture}{cropped}"


def _protocol(config: TrainConfig, cross_validation: CrossValidation | None, num_leaks: int) -> str:
    held = (
        f"Fold {config.held_out_fold} of the data's manifest was held out. The config fixes it; training, early"
        " stopping, calibration and all choices of options did not use it."
        + (f" {leak_warning(num_leaks)}" if num_leaks else "")
        if config.held_out_fold is not None
        else "No fold was held out. The metrics come from the validation videos, which early stopping and calibration"
        " used, so they are optimistic"
        + ("." if cross_validation is None else "; expect those of cross-validation, which come first.")
    )
    return (
        f"{held} About {config.validation_fraction:.0%} of the other videos, in whole groups, are validation videos;"
        " early stopping, temperature, abstention threshold and label sets are fitted on them. A group (the videos of"
        " one source) is never split. Metrics are measured on the exported model, which predicts one video at a time,"
        " decoded as in the service. Intervals are 95 % percentiles of a bootstrap over groups."
    )


def pruning_effects(history: Sequence[dict[str, Any]], pruned_stages: Sequence[str]) -> list[dict[str, Any]]:
    """For each pruned stage: sparsity, validation loss and accuracy of the weights kept before and after it.

    `before` is absent for the first stage.
    """
    effects = []
    for stage in pruned_stages:
        indices = [index for index, entry in enumerate(history) if entry["stage"] == stage]
        before = [entry for entry in history[: indices[0]] if entry["is_kept"]] if indices else []
        after = [history[index] for index in indices if history[index]["is_kept"]]
        sides = {"before": before, "after": after}
        effects.append({"stage": stage} | {side: _pruning_metrics(kept[-1]) for side, kept in sides.items() if kept})
    return effects


def _pruning_metrics(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("sparsity", "validation_loss", "validation_accuracy")}


def leak_warning(num_leaks: int) -> str:
    """A sentence that warns of metrics measured despite leaks."""
    leaks, were = ("1 leak", "was") if num_leaks == 1 else (f"{num_leaks} leaks", "were")
    shared = "the same source, scene or copy on both sides"
    return f"{leaks} between a held-out fold and the rest {were} allowed ({shared})."
