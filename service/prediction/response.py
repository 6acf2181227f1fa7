"""Composes the response from the outputs of the model. Pure arithmetic."""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from framewise.schemas.prediction import (
    AnswerWarning,
    ClipPrediction,
    ClipWindow,
    Cost,
    Decision,
    FrameAttention,
    LabelProbability,
    ModelRef,
    Prediction,
    PredictQuery,
    SampledFrame,
    Validation,
    Video,
)
from service.inference.manifest import Manifest, combine_clips
from service.inference.model_call import ClipOutput
from service.inference.stored_model import StoredModel
from service.prediction.pipeline import ClassifiedVideo, DecodedVideo
from service.prediction.stopwatch import Stopwatch
from service.video.clip import ClipTimes

NUM_TOP_FRAMES = 3


class _Window(TypedDict):
    start_seconds: float
    end_seconds: float


class _Frame(TypedDict):
    index: int
    time_seconds: float


def compose_prediction(
    video: ClassifiedVideo, model: StoredModel, query: PredictQuery, request_id: str, stopwatch: Stopwatch
) -> Prediction:
    """Return the prediction; except for id and timings, it depends only on video, model and query."""
    manifest = model.manifest
    probabilities = combine_clips(
        np.stack([output.probabilities for output in video.outputs]),
        manifest.combine,
        sums_to_one=manifest.sums_to_one,
    )
    # A stable sort keeps the model's order of labels with equal probabilities.
    ranked = np.argsort(-probabilities, kind="stable")
    accepted = manifest.accepts(probabilities, query.threshold)
    best = int(ranked[0])
    return Prediction(
        request_id=request_id,
        model=_model_ref(model),
        prediction=Decision(
            label=manifest.labels[best],
            probability=_probability(probabilities[best]),
            accepted=bool(accepted[best]),
        ),
        probabilities=[
            LabelProbability(
                label=manifest.labels[label],
                probability=_probability(probabilities[label]),
                accepted=bool(accepted[label]),
            )
            for label in ranked[: query.top_k]
        ],
        label_set=_label_set(probabilities, ranked, manifest),
        clips=[
            _clip_prediction(clip, output, manifest.labels)
            for clip, output in zip(video.decoded.clips, video.outputs, strict=True)
        ],
        frames=[] if query.frames == "none" else _frames(video, is_top_only=query.frames == "top"),
        video=_video(video.decoded),
        warnings=[*_warnings(video.decoded, manifest), *_warnings_of_model(manifest)],
        timings_ms=stopwatch.timings(video),
    )


def compose_validation(
    video: DecodedVideo, model: StoredModel, seconds_per_clip: float, request_id: str, stopwatch: Stopwatch
) -> Validation:
    """Return the properties of a decoded video, and the estimated cost of classifying it."""
    return Validation(
        request_id=request_id,
        model=_model_ref(model),
        clips=[ClipWindow(**_window(clip)) for clip in video.clips],
        frames=[
            SampledFrame(clip=number, **_frame(clip, index))
            for number, clip in enumerate(video.clips)
            for index in np.flatnonzero(clip.valid)
        ],
        cost=Cost(
            num_clips=len(video.clips),
            model_seconds_per_clip=round(seconds_per_clip, 6),
            model_seconds=round(seconds_per_clip * len(video.clips), 6),
        ),
        video=_video(video),
        warnings=_warnings(video, model.manifest),
        timings_ms=stopwatch.timings_before_model(video),
    )


def _model_ref(model: StoredModel) -> ModelRef:
    return ModelRef(name=model.manifest.name, version=model.manifest.version, digest=model.digest)


def _window(clip: ClipTimes) -> _Window:
    return {"start_seconds": round(clip.start_seconds, 6), "end_seconds": round(clip.end_seconds, 6)}


def _frame(clip: ClipTimes, index: np.intp) -> _Frame:
    return {"index": int(clip.frame_indices[index]), "time_seconds": round(float(clip.times_seconds[index]), 6)}


def _clip_prediction(clip: ClipTimes, output: ClipOutput, labels: tuple[str, ...]) -> ClipPrediction:
    best = int(np.argmax(output.probabilities))
    return ClipPrediction(**_window(clip), label=labels[best], probability=_probability(output.probabilities[best]))


def _frames(video: ClassifiedVideo, *, is_top_only: bool) -> list[FrameAttention]:
    frames = []
    for number, (clip, output) in enumerate(zip(video.decoded.clips, video.outputs, strict=True)):
        indices = np.flatnonzero(clip.valid)
        if is_top_only:
            by_attention = np.argsort(-output.attention[indices], kind="stable")
            indices = np.sort(indices[by_attention[:NUM_TOP_FRAMES]])
        frames += [
            FrameAttention(clip=number, **_frame(clip, index), attention=_probability(output.attention[index]))
            for index in indices
        ]
    return frames


def _warnings(video: DecodedVideo, manifest: Manifest) -> list[AnswerWarning]:
    envelope = manifest.picture_envelope
    warnings = [*video.report.warnings, *(() if envelope is None else envelope.warnings(video.appearance))]
    return [AnswerWarning(code=warning.code, message=warning.message) for warning in warnings]


def _warnings_of_model(manifest: Manifest) -> list[AnswerWarning]:
    if manifest.attention_is_explanation is not False:
        return []
    return [
        AnswerWarning(
            code="attention_not_explanatory",
            message="The attention of this model does not explain its predictions: in measurements, frames of high "
            "attention influenced the predictions no more than other frames.",
        )
    ]


def _label_set(probabilities: NDArray[np.float64], ranked: NDArray[np.intp], manifest: Manifest) -> list[str] | None:
    if manifest.conformal is None:
        return None
    holds = manifest.conformal.holds(probabilities)
    return [manifest.labels[label] for label in ranked if holds[label]]


def _video(video: DecodedVideo) -> Video:
    facts, report = video.facts, video.report
    width, height = facts.width, facts.height
    if report.rotation_degrees % 180:
        width, height = height, width
    sampled = {int(index) for clip in video.clips for index in clip.frame_indices[clip.valid]}
    return Video(
        container=facts.container,
        codec=facts.codec,
        width=width,
        height=height,
        rotation_degrees=report.rotation_degrees,
        is_mirrored=report.is_mirrored,
        duration_seconds=round(facts.duration_seconds, 6),
        frame_rate=None if facts.frame_rate is None else round(facts.frame_rate, 6),
        is_variable_frame_rate=facts.is_variable_frame_rate,
        num_frames_decoded=report.num_frames_decoded,
        num_frames_sampled=len(sampled),
        audio="ignored" if facts.has_audio else "none",
    )


def _probability(value: float) -> float:
    # Rounding errors may bring a probability above 1, which the schema does not allow.
    return min(1.0, max(0.0, float(value)))
