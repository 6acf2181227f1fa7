"""The model card: what was measured and declared of a model, for programs (`Card`) and for people (Markdown).

Measures nothing. The Markdown says only what the `Card` holds.
"""

from typing import Any, Literal

from model_training.config import TrainConfig
from model_training.evaluation.results import Assessment, CrossValidation, Result
from model_training.export.history import pruning_effects
from service.inference.manifest import Manifest
from service.video.clip import ClipSpec

_COMMON_COMMANDS = {
    "evaluate": "python -m model_training evaluate --model models/{name}/{version} --data DIR{folds}",
    "verify": "python -m model_training verify --model models/{name}/{version} --data DIR",
}


class Card(Result):
    """Everything a card says. `files` are the digests of the model's files but the manifest and the cards."""

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
    """Each epoch's figures; empty where they were not kept."""
    pruning: tuple[dict[str, Any], ...] = ()
    """For each pruned stage, sparsity and validation figures of the weights kept before it and after it."""
    package_versions: dict[str, str]
    commands: dict[str, str]
    files: dict[str, str]
    cross_validation: CrossValidation | None = None
    """Of networks like this one; None where it was not done."""
    assessment: Assessment
    """What `verify` measures again."""

    def to_json(self) -> str:
        """The text of `MODEL_CARD.json`; the same card always gives the same text."""
        return self.model_dump_json(indent=1) + "\n"


def build_card(
    manifest: Manifest, config: TrainConfig, assessment: Assessment, history: tuple[dict[str, Any], ...]
) -> Card:
    """The card of a model. `manifest.files` holds the files of the SavedModel and the golden clips only."""
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
        # Models older than the command itself name the one their config foresaw.
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
    place = "" if crop is None else f", sees the square in which most moves, as {crop.size}x{crop.size}"
    return f"{config.backbone}, {config.architecture}{place}"


def _protocol(config: TrainConfig, cross_validation: CrossValidation | None, num_leaks: int) -> str:
    held = (
        f"Fold {config.held_out_fold} of the data's manifest was held out: fixed in the config beforehand, and not"
        " seen by training, early stopping, calibration or any choice."
        + (f" But {leak_warning(num_leaks)}" if num_leaks else "")
        if config.held_out_fold is not None
        else "No fold was held out: the figures come from the validation videos, which also steered training, and"
        " are too kind"
        + ("." if cross_validation is None else "; those of cross-validation, which come first, are what to expect.")
    )
    return (
        f"{held} Of the other videos, whole groups with about {config.validation_fraction:.0%} were kept apart"
        " for validation; early stopping, the temperature, the abstention threshold and the label sets come from"
        " those. Groups (videos of one source) are never parted. Figures are those of the exported model, one video"
        " at a time, decoded as the service decodes it. Intervals are 95 % percentiles of a bootstrap that draws"
        " whole groups."
    )


def leak_warning(num_leaks: int) -> str:
    """The sentence that warns of figures of folds that share something with what was trained on."""
    leaks, were = ("1 leak", "was") if num_leaks == 1 else (f"{num_leaks} leaks", "were")
    shared = "the same source, scene or copy on both sides"
    return f"{leaks} between a held-out fold and the rest {were} allowed ({shared})."
