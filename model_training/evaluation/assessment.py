"""Measures all results of a model card from the exported model and its data.

Thresholds and label sets are fitted on the validation videos; the quoted metrics come from the held-out videos if
there are any. Export measures to write a card, `verify` to check one.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from model_training.config import TrainConfig
from model_training.datasets.appearance import picture_envelope
from model_training.datasets.clip_cache import CachedClip, DecodedVideo
from model_training.datasets.decoding import decode_examples, readable_videos
from model_training.datasets.examples import Example
from model_training.datasets.splits import Split
from model_training.evaluation.baselines import measure_baselines
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
from service.video.quality import PictureEnvelope

Step = Callable[[str], None]


def assess(  # noqa: PLR0917 - used by export and verify
    model: ExportedModel,
    manifest: Manifest,
    config: TrainConfig,
    split: Split,
    cache_directory: Path,
    on_step: Step = lambda _name: None,
) -> Assessment:
    """Measure `model`; uses only labels, clip, head and combination of `manifest`, no metric.

    Calls `on_step` with the name of each step. Decodes videos into `cache_directory` unless they are there; only
    predictions, whose cost is measured, and robustness decode from the video files.

    Raises:
        TrainingDataError: a video cannot be decoded.
    """
    on_step("decoding")
    quoted = split.held_out or split.validation
    videos = _decode((*split.training, *quoted), manifest, cache_directory)
    training, tested = ([videos[example] for example in part] for part in (split.training, quoted))
    on_step("picture envelope")
    envelope = picture_envelope(_clips(training))
    on_step("validation videos")
    validation = predict_examples(model, manifest, split.validation)
    fitted = _fit_thresholds(manifest, config, *stack_predictions(validation, split.validation, manifest.labels))
    held_out: Metrics | None = None
    if split.held_out:
        on_step("held-out videos")
        held_out = compute_metrics(predict_examples(model, fitted, split.held_out), split.held_out, fitted)
    on_step("faithfulness of attention")
    faithfulness = measure_faithfulness(model, fitted, [video.clips[0] for video in tested])
    on_step("robustness")
    robustness = measure_robustness(model, fitted, quoted)
    return Assessment(
        data={
            "training": describe_use(split.training),
            "validation": describe_use(split.validation),
            "held_out": describe_use(split.held_out),
        },
        abstention_threshold=fitted.abstention_threshold if fitted.sums_to_one else None,
        label_set_least_probability=fitted.conformal.least_probability if fitted.conformal else None,
        label_thresholds=fitted.label_thresholds,
        validation=compute_metrics(validation, split.validation, fitted),
        held_out=held_out,
        faithfulness=faithfulness,
        robustness=robustness,
        picture_envelope=envelope,
        baselines=measure_baselines(training, tested, manifest.labels),
    )


def _decode(examples: Sequence[Example], manifest: Manifest, cache_directory: Path) -> dict[Example, DecodedVideo]:
    decoding = decode_examples(examples, manifest.clip, cache_directory)
    return {video.example: video for video in readable_videos(decoding, skip_unreadable=False)}


def _clips(videos: Sequence[DecodedVideo]) -> list[CachedClip]:
    return [clip for video in videos for clip in video.clips]


def _fit_thresholds(manifest: Manifest, config: TrainConfig, probabilities: Probabilities, targets: Sets) -> Manifest:
    """`manifest` with thresholds and label sets fitted on the validation videos."""
    if not manifest.sums_to_one:
        return manifest_with_measurements(
            manifest, label_thresholds=label_thresholds(probabilities, targets), metrics=manifest.metrics
        )
    return manifest_with_measurements(
        manifest,
        abstention_threshold=abstention_threshold(probabilities, config.abstention_coverage),
        conformal=fit_label_sets(probabilities, targets.argmax(axis=1), config.label_set_coverage),
        metrics=manifest.metrics,
    )


def apply_assessment(
    manifest: Manifest, config: TrainConfig, assessment: Assessment, files: Mapping[str, str]
) -> Manifest:
    """`manifest` with the measured thresholds, label sets and metrics, and the digests of `files`."""
    # Metrics of cross-validation belong to other networks and are copied.
    metrics = {name: manifest.metrics[name] for name in ("cross_validation",) if name in manifest.metrics}
    metrics |= {"validation": _headline(assessment.validation), "faithfulness": assessment.faithfulness.model_dump()}
    if assessment.held_out is not None:
        metrics["held_out"] = _headline(assessment.held_out) | {"fold": config.held_out_fold}
    least_probability = assessment.label_set_least_probability
    return manifest_with_measurements(
        manifest,
        abstention_threshold=assessment.abstention_threshold or 0.0,
        label_thresholds=assessment.label_thresholds,
        conformal=None
        if least_probability is None
        else ConformalSets(coverage=config.label_set_coverage, least_probability=least_probability),
        picture_envelope=assessment.picture_envelope,
        attention_is_explanation=assessment.faithfulness.attention_is_explanation,
        metrics=metrics,
        files=files,
    )


def manifest_with_measurements(
    manifest: Manifest,
    *,
    metrics: dict[str, Any],
    abstention_threshold: float = 0.0,
    label_thresholds: tuple[float, ...] | None = None,
    conformal: ConformalSets | None = None,
    picture_envelope: PictureEnvelope | None = None,
    attention_is_explanation: bool | None = None,
    files: Mapping[str, str] | None = None,
) -> Manifest:
    """`manifest` with other measured fields. Every other field is kept, `files` unless it is given."""
    measured = {
        "metrics": metrics,
        "abstention_threshold": abstention_threshold,
        "label_thresholds": label_thresholds,
        "conformal": conformal,
        "picture_envelope": picture_envelope,
        "attention_is_explanation": attention_is_explanation,
        "files": dict(manifest.files if files is None else files),
    }
    return Manifest(**(dict(manifest) | measured))


def _headline(metrics: Metrics) -> dict[str, object]:
    """The metrics without curves, reliability bins and cost."""
    return metrics.model_dump(mode="json", exclude={"curves", "reliability", "cost"})
