"""Schemas of `POST /predict` and `POST /validate`. Field names carry their units."""

from typing import Any, Literal

from pydantic import Field

from framewise.schemas.wire import Probability, Wire


class ValidateQuery(Wire):
    """Query parameters of `POST /validate`."""

    model: str | None = Field(default=None, max_length=64, description="Name of the model; default: the default model.")
    version: str | None = Field(
        default=None, max_length=9, description="Version of the model; default: the latest version."
    )
    deadline_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Time limit for the response, counted from the end of the upload; at most the service's own limit.",
    )


class PredictQuery(ValidateQuery):
    """Query parameters of `POST /predict`."""

    top_k: int | None = Field(default=None, ge=1, le=1000, description="List only the k most probable labels.")
    threshold: Probability | None = Field(
        default=None, description="Minimum probability of an accepted label; default: the model's own."
    )
    frames: Literal["all", "top", "none"] = Field(
        default="all",
        description="Frames to list: all, the three of each clip with the most attention, or none.",
    )


class VideoUrl(Wire):
    """URL of a video, sent as the request body in place of the video."""

    url: str = Field(max_length=8192, description="An https URL on a host that the service allows.")


class ModelRef(Wire):
    """The model that made the prediction; `digest` identifies its exact files."""

    name: str
    version: str
    digest: str


class Decision(Wire):
    """The most probable label; `accepted` is false if its probability is below the threshold."""

    label: str
    probability: Probability
    accepted: bool


class LabelProbability(Wire):
    """A label and its probability; `accepted` is true if the probability reaches the threshold."""

    label: str
    probability: Probability
    accepted: bool


class ClipWindow(Wire):
    """One clip: the part [start, end) of the video."""

    start_seconds: float
    end_seconds: float


class ClipPrediction(ClipWindow):
    """The most probable label of one clip."""

    label: str
    probability: Probability


class SampledFrame(Wire):
    """One frame sampled for a clip."""

    clip: int
    index: int = Field(description="Index of the frame in presentation order.")
    time_seconds: float = Field(description="Presentation time of the frame, counted from the first frame.")


class FrameAttention(SampledFrame):
    """One sampled frame with its attention. Attention sums to 1 within a clip."""

    attention: Probability


class Video(Wire):
    """Facts of the video, measured while decoding and not taken from the file's header."""

    container: str
    codec: str
    width: int
    height: int
    rotation_degrees: int = Field(description="Clockwise rotation that was applied to show the frames upright.")
    is_mirrored: bool = Field(
        default=False, description="Whether the frames were mirrored left to right before the rotation."
    )
    duration_seconds: float
    frame_rate: float | None
    is_variable_frame_rate: bool
    num_frames_decoded: int
    num_frames_sampled: int
    audio: Literal["ignored", "none"]


class AnswerWarning(Wire):
    """A warning about a prediction that was made nevertheless."""

    code: str
    message: str


class ValidationTimings(Wire):
    """Duration of each stage in milliseconds."""

    receive: float
    decode: float = Field(description="Waiting for a decode worker and for its clips.")
    total: float


class Timings(Wire):
    """Duration of each stage in milliseconds. The stages of a long video overlap."""

    receive: float
    decode: float = Field(description="Waiting for a decode worker and for its clips.")
    queue: float = Field(description="Longest time a clip waited for the model.")
    model: float = Field(description="Longest model call that included a clip of this video.")
    total: float


class Prediction(Wire):
    """Response to `POST /predict`."""

    request_id: str
    model: ModelRef
    prediction: Decision
    probabilities: list[LabelProbability]
    label_set: list[str] | None = Field(
        default=None,
        exclude_if=lambda labels: labels is None,
        description="Conformal prediction set, most probable label first: it contains the true label as often as"
        " the model's manifest states (`conformal`). Absent if the manifest states no such coverage.",
    )
    clips: list[ClipPrediction]
    frames: list[FrameAttention]
    video: Video
    warnings: list[AnswerWarning]
    timings_ms: Timings

    def summary_row(self) -> dict[str, Any]:
        """One flat row for the video: the decision, the model and the length; for `pandas.DataFrame([...])`."""
        return {
            **self.prediction.to_dict(),
            "model": self.model.name,
            "version": self.model.version,
            "duration_seconds": self.video.duration_seconds,
            "num_clips": len(self.clips),
            "warnings": ",".join(warning.code for warning in self.warnings),
        }

    def label_rows(self) -> list[dict[str, Any]]:
        """One row for each label."""
        return [row.to_dict() for row in self.probabilities]

    def clip_rows(self) -> list[dict[str, Any]]:
        """One row for each clip."""
        return [clip.to_dict() for clip in self.clips]

    def frame_rows(self) -> list[dict[str, Any]]:
        """One row for each listed frame."""
        return [frame.to_dict() for frame in self.frames]


class Cost(Wire):
    """Estimated model time of a prediction, from the recent time per clip."""

    num_clips: int
    model_seconds_per_clip: float
    model_seconds: float


class Validation(Wire):
    """Response to `POST /validate`: the results of all stages before the model, and the estimated model time."""

    request_id: str
    model: ModelRef
    clips: list[ClipWindow]
    frames: list[SampledFrame]
    cost: Cost
    video: Video
    warnings: list[AnswerWarning]
    timings_ms: ValidationTimings
