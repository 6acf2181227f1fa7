"""What travels on the wire. Names carry their units; `docs/api.md` says the same in prose."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.video.sandbox.isolation import Isolation

Probability = Annotated[float, Field(ge=0, le=1)]


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ValidateQuery(_Wire):
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


class VideoUrl(_Wire):
    """Where a video is to be fetched from, in the place of the video."""

    url: str = Field(max_length=8192, description="An https URL of a host that the service is allowed to ask.")


class ModelRef(_Wire):
    """Which model answered, to the byte."""

    name: str
    version: str
    digest: str


class Decision(_Wire):
    """The likeliest label; `accepted` is false when the service had better say "I don't know"."""

    label: str
    probability: Probability
    accepted: bool


class LabelProbability(_Wire):
    """One label, how likely it is, and whether the model stands by it."""

    label: str
    probability: Probability
    accepted: bool


class ClipWindow(_Wire):
    """One window of the video, [start, end)."""

    start_seconds: float
    end_seconds: float


class ClipPrediction(ClipWindow):
    """The answer for one window of the video."""

    label: str
    probability: Probability


class SampledFrame(_Wire):
    """One frame that a clip holds."""

    clip: int
    index: int = Field(description="The frame's place in presentation order.")
    time_seconds: float = Field(description="The frame's own presentation time, from the first frame on.")


class FrameAttention(SampledFrame):
    """One frame the model looked at. Attention sums to 1 within a clip."""

    attention: Probability


class Video(_Wire):
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


class AnswerWarning(_Wire):
    """Something to know about an answer that was given all the same."""

    code: str
    message: str


class ValidationTimings(_Wire):
    """Milliseconds spent on each stage."""

    receive: float
    decode: float = Field(description="Waiting for a decode process and for its clips.")
    total: float


class Timings(_Wire):
    """Milliseconds spent on each stage. Stages of a long video overlap."""

    receive: float
    decode: float = Field(description="Waiting for a decode process and for its clips.")
    queue: float = Field(description="Longest wait of a clip for the model.")
    model: float = Field(description="Longest model call that held a clip of this video.")
    total: float


class Prediction(_Wire):
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


class Cost(_Wire):
    """What a prediction would ask of the model, by what it has lately taken for a clip."""

    num_clips: int
    model_seconds_per_clip: float
    model_seconds: float


class Validation(_Wire):
    """The answer to `POST /validate`: everything that comes before the model, and what the model would cost."""

    request_id: str
    model: ModelRef
    clips: list[ClipWindow]
    frames: list[SampledFrame]
    cost: Cost
    video: Video
    warnings: list[AnswerWarning]
    timings_ms: ValidationTimings


class ModelState(_Wire):
    """One model's state at start-up or since."""

    name: str
    version: str
    state: Literal["loading", "ready", "unloading", "unloaded", "failed"]
    detail: str | None = None


class Health(_Wire):
    """The service's state and each model's."""

    state: Literal["starting", "ready", "draining", "failed"]
    detail: str | None = None
    models: list[ModelState]


class ModelSummary(_Wire):
    """A model that may be asked."""

    name: str
    version: str
    digest: str
    is_default: bool
    description: str
    labels: list[str]


class ModelList(_Wire):
    """The answer to `GET /models`."""

    models: list[ModelSummary]


class ModelDetail(ModelSummary):
    """Everything a model says of itself."""

    manifest: dict[str, Any]
    card: dict[str, Any] | None = Field(
        default=None, description="The model card for programs: data, protocol, every figure, and how to verify it."
    )
    batch_sizes: list[int]
    sees_training_pixels: bool = Field(
        description="Whether the model's golden clips decode here, bit for bit, to the pixels they had at export."
    )


class Limits(_Wire):
    """The limits in force, by the names of their settings."""

    max_upload_bytes: int
    upload_idle_timeout_seconds: float
    upload_timeout_seconds: float
    max_pixels_per_frame: int
    max_duration_seconds: float
    max_packets: int
    max_concurrent_uploads: int
    max_uploads_per_caller: int
    max_working_requests: int
    max_waiting_requests: int
    max_queued_clips: int
    deadline_seconds: float


class JobCapabilities(_Wire):
    """When a video is better sent as a job, and how long it may be, by the names of the settings."""

    job_from_seconds: float
    job_from_bytes: int
    job_max_duration_seconds: float
    job_deadline_seconds: float


class ModelCapabilities(_Wire):
    """How one ready model runs."""

    name: str
    version: str
    engine: str
    device: Literal["cpu", "gpu"]
    batch_sizes: list[int] = Field(description="Those that answer, bit for bit, as one clip alone does.")


class Capabilities(_Wire):
    """The answer to `GET /capabilities`."""

    limits: Limits
    jobs: JobCapabilities | None = Field(description="Null where the service takes no jobs.")
    isolation: Isolation = Field(description="Which walls stand around the decode processes on this machine.")
    containers: list[str] = Field(description="Allowed, and found at start to be readable on this machine.")
    codecs: list[str] = Field(description="Allowed, and found at start to be decodable on this machine.")
    models: list[ModelCapabilities]


class Problem(_Wire):
    """An error, as RFC 9457 has it; `code` is stable, `detail` is for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    request_id: str


class JobQuery(PredictQuery):
    """What a caller may ask of a job."""

    callback_url: str | None = Field(
        default=None, max_length=2048, description="Where to post the job when it is done or has failed."
    )


JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class JobListQuery(_Wire):
    """Which jobs to list."""

    state: JobState | None = Field(default=None, description="Only jobs in this state.")
    limit: int = Field(default=50, ge=1, le=200, description="How many at most.")
    after: str | None = Field(default=None, max_length=64, description="The `next` of the page before.")


class JobProgress(_Wire):
    """How many of a video's clips are answered."""

    num_clips_done: int
    num_clips: int


class JobUpload(_Wire):
    """The video a job was made for."""

    num_bytes: int
    sha256: str


class Delivery(_Wire):
    """One attempt to post a job to its callback: a status, or the name of what came instead."""

    number: int
    at: str
    status: int | None
    error: str | None
    milliseconds: float


class Callback(_Wire):
    """What has become of a job's callback."""

    url: str
    state: Literal["waiting", "pending", "delivered", "given_up"]
    deliveries: list[Delivery]


class JobSummary(_Wire):
    """A job as it is listed. Times are UTC, in ISO 8601."""

    id: str
    state: JobState
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: str | None = Field(description="When the job is removed with its result.")
    attempt: int = Field(description="How often it was started; a start that a shutdown interrupted does not count.")
    progress: JobProgress | None
    query: PredictQuery
    upload: JobUpload
    request_id: str


class Job(JobSummary):
    """A job, with what came of it."""

    result: Prediction | None
    problem: Problem | None
    callback: Callback | None


class JobList(_Wire):
    """The answer to `GET /jobs`."""

    jobs: list[JobSummary]
    next: str | None = Field(description="What to ask for as `after` to see more; null at the end.")


class JobEvent(_Wire):
    """What an event that is not the last carries."""

    state: JobState
    attempt: int
    progress: JobProgress | None
