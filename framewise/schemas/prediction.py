"""What travels on the wire. Names carry their units; `docs/api.md` says the same in prose."""

from typing import Literal

from pydantic import Field

from framewise.schemas.wire import Probability, Wire


class ValidateQuery(Wire):
    """Which model a video is meant for, and how long there is to look at it."""

    model: str | None = Field(default=None, max_length=64, description="Name of the model; default: the default model.")
    version: str | None = Field(default=None, max_length=9, description="Its version; default: the latest.")
    deadline_seconds: float | None = Field(
        default=None, gt=0, description="Give up after this long; the service's own deadline is the upper bound."
    )


class PredictQuery(ValidateQuery):
    """What a caller may ask of a prediction."""

    top_k: int | None = Field(default=None, ge=1, le=1000, description="List only the k likeliest labels.")
    threshold: Probability | None = Field(
        default=None, description="Least probability to accept a label; default: the model's own."
    )
    frames: Literal["all", "top", "none"] = Field(
        default="all", description="Which frames to list: all, the three of each clip with most attention, or none."
    )


class VideoUrl(Wire):
    """Where a video is to be fetched from, in the place of the video."""

    url: str = Field(max_length=8192, description="An https URL of a host that the service is allowed to ask.")


class ModelRef(Wire):
    """Which model answered, to the byte."""

    name: str
    version: str
    digest: str


class Decision(Wire):
    """The likeliest label; `accepted` is false when the service had better say "I don't know"."""

    label: str
    probability: Probability
    accepted: bool


class LabelProbability(Wire):
    """One label, how likely it is, and whether the model stands by it."""

    label: str
    probability: Probability
    accepted: bool


class ClipWindow(Wire):
    """One window of the video, [start, end)."""

    start_seconds: float
    end_seconds: float


class ClipPrediction(ClipWindow):
    """The answer for one window of the video."""

    label: str
    probability: Probability


class SampledFrame(Wire):
    """One frame that a clip holds."""

    clip: int
    index: int = Field(description="The frame's place in presentation order.")
    time_seconds: float = Field(description="The frame's own presentation time, from the first frame on.")


class FrameAttention(SampledFrame):
    """One frame the model looked at. Attention sums to 1 within a clip."""

    attention: Probability


class Video(Wire):
    """What the file turned out to hold; counted, not claimed."""

    container: str
    codec: str
    width: int
    height: int
    rotation_degrees: int = Field(description="How far clockwise the pictures were turned to stand upright.")
    is_mirrored: bool = Field(
        default=False, description="Whether the pictures were mirrored left to right, before they were turned."
    )
    duration_seconds: float
    frame_rate: float | None
    is_variable_frame_rate: bool
    num_frames_decoded: int
    num_frames_sampled: int
    audio: Literal["ignored", "none"]


class AnswerWarning(Wire):
    """Something to know about an answer that was given all the same."""

    code: str
    message: str


class ValidationTimings(Wire):
    """Milliseconds spent on each stage."""

    receive: float
    decode: float = Field(description="Waiting for a decode process and for its clips.")
    total: float


class Timings(Wire):
    """Milliseconds spent on each stage. Stages of a long video overlap."""

    receive: float
    decode: float = Field(description="Waiting for a decode process and for its clips.")
    queue: float = Field(description="Longest wait of a clip for the model.")
    model: float = Field(description="Longest model call that held a clip of this video.")
    total: float


class Prediction(Wire):
    """The answer to `POST /predict`."""

    request_id: str
    model: ModelRef
    prediction: Decision
    probabilities: list[LabelProbability]
    label_set: list[str] | None = Field(
        default=None,
        exclude_if=lambda labels: labels is None,
        description="Labels that hold the true one as often as the model's manifest says (`conformal`), likeliest"
        " first; left out where it says nothing of it.",
    )
    clips: list[ClipPrediction]
    frames: list[FrameAttention]
    video: Video
    warnings: list[AnswerWarning]
    timings_ms: Timings


class Cost(Wire):
    """What a prediction would ask of the model, by what it has lately taken for a clip."""

    num_clips: int
    model_seconds_per_clip: float
    model_seconds: float


class Validation(Wire):
    """The answer to `POST /validate`: everything that comes before the model, and what the model would cost."""

    request_id: str
    model: ModelRef
    clips: list[ClipWindow]
    frames: list[SampledFrame]
    cost: Cost
    video: Video
    warnings: list[AnswerWarning]
    timings_ms: ValidationTimings
