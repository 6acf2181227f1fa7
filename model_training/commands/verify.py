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
    """Measure the metrics in a model's card again, and compare card, Markdown and manifest with each other.

    Metrics of cross-validation and pruning belong to other weights: only their copies are compared.

    Raises:
        CardDiffers: a metric, a digest, a file, the manifest or the Markdown differs from the card.
    """
    manifest = read_verified_manifest(model_directory)
    card = read_card(model_directory)
    markdown = (model_directory / CARD_NAME).read_text(encoding="utf-8")
    measured = _measure(model_directory, manifest, data)
    from model_training.evaluation.assessment import apply_assessment  # noqa: PLC0415 - TensorFlow

    config = TrainConfig.model_validate(manifest.training["config"])
    restated = apply_assessment(manifest, config, card.assessment, manifest.files)
    changed = differences(card.assessment, measured, tolerance)
    inconsistent = disagreements(card, markdown, manifest, restated)
    found = ((changed, "metrics differ from the card"), (inconsistent, "statements differ between its documents"))
    lines = [line for some, problem in found if some for line in (f"{model_directory}: {len(some)} {problem}", *some)]
    if lines:
        raise CardDiffers("\n".join(lines))
    sys.stdout.write(
        f"{model_directory}: all metrics of the card were measured again within {tolerance:g}, and its documents"
        " agree\n"
    )


def write_card(model_directory: Path, data: Path) -> None:
    """Measure a model again and write its card and manifest; weights and golden clips stay unchanged."""
    manifest = read_verified_manifest(model_directory)
    history = read_card(model_directory).history
    config = TrainConfig.model_validate(manifest.training["config"])
    assessment = _measure(model_directory, manifest, data)
    from model_training.export.export import write_documents  # noqa: PLC0415 - TensorFlow

    # Ctrl-C is deferred: the service rejects a model whose card and manifest do not match.
    with interrupt_flag():
        written = write_documents(model_directory, manifest, config, assessment, history)
    sys.stdout.write(f"{model_directory}: {written.digest}\n")


def _measure(model_directory: Path, manifest: Manifest, source: Path) -> Assessment:
    from model_training.evaluation.assessment import assess  # noqa: PLC0415 - TensorFlow
    from model_training.evaluation.exported_model import ExportedModel  # noqa: PLC0415 - TensorFlow

    config = TrainConfig.model_validate(manifest.training["config"])
    recorded = read_card(model_directory).assessment.data
    with RunProgress() as display, TemporaryDirectory() as cache:
        try:
            split = recorded_split(config, recorded, read_examples(source), Path(cache), display)
        except TrainingDataError as error:
            raise TrainingDataError(f"{source}: {error}") from error
        return assess(ExportedModel(model_directory), manifest, config, split, Path(cache), display.log)
