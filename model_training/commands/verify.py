"""The commands `verify` and `card`: measure an exported model again, and write its card."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from model_training.config import TrainConfig
from model_training.datasets.examples import read_examples
from model_training.errors import CardDiffers, TrainingDataError
from model_training.evaluation.recorded_split import recorded_split
from model_training.evaluation.results import Assessment
from model_training.export.model_directory import read_card, read_verified_manifest
from model_training.export.verify import differences, disagreements
from model_training.interrupt import interrupt_flag
from model_training.progress import RunProgress
from service.inference.manifest import CARD_NAME, Manifest


def verify(model_directory: Path, data: Path, tolerance: float) -> None:
    """Measure again what the card of a model states of it, and see whether the other documents say the same.

    Figures of cross-validation and of training are of other weights: of those only what the documents say is compared.

    Raises:
        CardDiffers: a figure, a digest, a file, the manifest or the Markdown is not what the card says.
    """
    manifest = read_verified_manifest(model_directory)
    card = read_card(model_directory)
    markdown = (model_directory / CARD_NAME).read_text(encoding="utf-8")
    measured = _assessed(model_directory, manifest, data)
    from model_training.evaluation.assessment import apply_assessment  # noqa: PLC0415

    config = TrainConfig.model_validate(manifest.training["config"])
    found = differences(card.assessment, measured, tolerance)
    unlike = disagreements(card, markdown, manifest, apply_assessment(manifest, config, card.assessment))
    counted = ((found, "figures differ from the card"), (unlike, "statements of its documents differ"))
    lines = [line for some, what in counted if some for line in (f"{model_directory}: {len(some)} {what}", *some)]
    if lines:
        raise CardDiffers("\n".join(lines))
    sys.stdout.write(
        f"{model_directory}: every figure that the card says of this model was measured again within {tolerance:g}, and"
        " its documents agree\n"
    )


def write_card(model_directory: Path, data: Path) -> None:
    """Measure a model anew and write its card and what its manifest says of it; weights and golden clips stay."""
    manifest = read_verified_manifest(model_directory)
    history = read_card(model_directory).history
    config = TrainConfig.model_validate(manifest.training["config"])
    assessment = _assessed(model_directory, manifest, data)
    from model_training.export.export import write_documents  # noqa: PLC0415

    # Ctrl-C waits: a card beside the manifest of another one is a model that nobody loads.
    with interrupt_flag():
        written = write_documents(model_directory, manifest, config, assessment, history)
    sys.stdout.write(f"{model_directory}: {written.digest}\n")


def _assessed(model_directory: Path, manifest: Manifest, source: Path) -> Assessment:
    from model_training.evaluation.assessment import assess  # noqa: PLC0415
    from model_training.evaluation.exported_model import ExportedModel  # noqa: PLC0415

    config = TrainConfig.model_validate(manifest.training["config"])
    recorded = read_card(model_directory).assessment.data
    with RunProgress() as display, TemporaryDirectory() as cache:
        try:
            split = recorded_split(config, recorded, read_examples(source), Path(cache), display)
        except TrainingDataError as error:
            raise TrainingDataError(f"{source}: {error}") from error
        return assess(ExportedModel(model_directory), manifest, config, split, Path(cache), display.log)
