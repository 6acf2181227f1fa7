"""Everything that a model card says of an exported model, measured from model and data alone.

What settles an answer (threshold, label sets) comes from the validation videos; what is quoted comes from the
held-out ones, where there are any. Export measures it to write a card, `verify` to check one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from model_training.config import TrainConfig
from model_training.datasets.appearance import picture_envelope
from model_training.datasets.decoding import decode_examples, readable_videos
from model_training.datasets.examples import Example
from model_training.datasets.splits import Split
from model_training.evaluation.baselines import Baselines, measure_baselines
from model_training.evaluation.calibration import abstention_threshold, label_thresholds
from model_training.evaluation.conformal import fit_label_sets
from model_training.evaluation.exported_model import ExportedModel, predict_examples
from model_training.evaluation.faithfulness import measure_faithfulness
from model_training.evaluation.measure import compute_metrics, stack_predictions
from model_training.evaluation.metrics import Probabilities, Sets
from model_training.evaluation.recorded_split import describe_use
from model_training.evaluation.results import Assessment, Metrics
from model_training.evaluation.robustness import measure_robustness
from service.inference.manifest import ConformalSets, Manifest

Step = Callable[[str], None]


def assess(  # noqa: PLR0917 - a measurement of all there is
    model: ExportedModel,
    manifest: Manifest,
    config: TrainConfig,
    split: Split,
    cache_directory: Path,
    on_step: Step = lambda _name: None,
) -> Assessment:
    """Measure `model`; of `manifest` only labels, clip, head and combination are used, never a figure.

    Calls `on_step` with what begins. Decoded videos are kept in `cache_directory`.

    Raises:
        TrainingDataError: a video cannot be used.
    """
    on_step("what training videos look like")
    envelope = picture_envelope(split.training, manifest.clip)
    on_step("validation videos")
    validation = predict_examples(model, manifest, split.validation)
    settled = _with_thresholds(manifest, config, *stack_predictions(validation, split.validation, manifest.labels))
    held_out: Metrics | None = None
    if split.held_out:
        on_step("held-out videos")
        held_out = compute_metrics(predict_examples(model, settled, split.held_out), split.held_out, settled)
    quoted = split.held_out or split.validation
    on_step("what attention means")
    faithfulness = measure_faithfulness(model, settled, quoted)
    on_step("robustness")
    robustness = measure_robustness(model, settled, quoted)
    return Assessment(
        data={
            "training": describe_use(split.training),
            "validation": describe_use(split.validation),
            "held_out": describe_use(split.held_out),
        },
        abstention_threshold=settled.abstention_threshold if settled.sums_to_one else None,
        label_set_least_probability=settled.conformal.least_probability if settled.conformal else None,
        label_thresholds=settled.label_thresholds,
        validation=compute_metrics(validation, split.validation, settled),
        held_out=held_out,
        faithfulness=faithfulness,
        robustness=robustness,
        picture_envelope=envelope,
        baselines=_baselines(split.training, quoted, manifest, cache_directory),
    )


def _with_thresholds(manifest: Manifest, config: TrainConfig, probabilities: Probabilities, targets: Sets) -> Manifest:
    """`manifest` with the thresholds and label sets that the validation videos ask for."""
    if not manifest.sums_to_one:
        return manifest.model_copy(update={"label_thresholds": label_thresholds(probabilities, targets)})
    return manifest.model_copy(
        update={
            "abstention_threshold": abstention_threshold(probabilities, config.abstention_coverage),
            "conformal": fit_label_sets(probabilities, targets.argmax(axis=1), config.label_set_coverage),
        }
    )


def _baselines(
    training: Sequence[Example], quoted: Sequence[Example], manifest: Manifest, cache_directory: Path
) -> Baselines:
    taught, asked = (
        readable_videos(decode_examples(examples, manifest.clip, cache_directory), skip_unreadable=False)
        for examples in (training, quoted)
    )
    return measure_baselines(taught, asked, manifest.labels)


def apply_assessment(manifest: Manifest, config: TrainConfig, assessment: Assessment) -> Manifest:
    """`manifest` saying what was measured: threshold, label sets, pictures, attention, figures without their curves."""
    # Those of cross-validation stay: they are of other networks, and cannot be measured of this one.
    metrics = {name: manifest.metrics[name] for name in ("cross_validation",) if name in manifest.metrics}
    metrics |= {"validation": _headline(assessment.validation), "faithfulness": assessment.faithfulness.model_dump()}
    if assessment.held_out is not None:
        metrics["held_out"] = _headline(assessment.held_out) | {"fold": config.held_out_fold}
    return manifest.model_copy(
        update={
            "abstention_threshold": assessment.abstention_threshold or 0.0,
            "label_thresholds": assessment.label_thresholds,
            "conformal": None
            if assessment.label_set_least_probability is None
            else ConformalSets(
                coverage=config.label_set_coverage, least_probability=assessment.label_set_least_probability
            ),
            "picture_envelope": assessment.picture_envelope,
            "attention_is_explanation": assessment.faithfulness.attention_is_explanation,
            "metrics": metrics,
        }
    )


def _headline(figures: Metrics) -> dict[str, object]:
    return figures.model_dump(mode="json", exclude={"curves", "reliability", "cost"})
