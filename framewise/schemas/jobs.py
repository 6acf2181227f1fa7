"""Schemas of jobs: queries, states, results and events."""

from typing import Literal

from pydantic import Field

from framewise.schemas.prediction import Prediction, PredictQuery
from framewise.schemas.problem import Problem
from framewise.schemas.wire import Wire


class JobQuery(PredictQuery):
    """Query parameters of `POST /jobs`."""

    callback_url: str | None = Field(
        default=None, max_length=2048, description="URL to which the job is posted after it is done or has failed."
    )


JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class JobListQuery(Wire):
    """Query parameters of `GET /jobs`."""

    state: JobState | None = Field(default=None, description="Only jobs in this state.")
    limit: int = Field(default=50, ge=1, le=200, description="Maximum number of jobs.")
    after: str | None = Field(default=None, description="The `next` of the previous page.")


class JobProgress(Wire):
    """Number of classified clips of a video."""

    num_clips_done: int
    num_clips: int


class JobUpload(Wire):
    """The video of a job."""

    num_bytes: int
    sha256: str
    file_name: str | None = Field(
        default=None,
        description="Name of the file as the client sent it, without folders and control characters, at most 255"
        " characters; null if the client sent none.",
    )


class Delivery(Wire):
    """One attempt to post a job to its callback; `status` is null if an `error` prevented a response."""

    number: int
    at: str
    status: int | None
    error: str | None
    milliseconds: float


class Callback(Wire):
    """State and deliveries of a job's callback."""

    url: str
    state: Literal["waiting", "pending", "delivered", "given_up"]
    deliveries: list[Delivery]


class JobSummary(Wire):
    """A job without its result. Times are UTC in ISO 8601."""

    id: str
    state: JobState
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: str | None = Field(description="When the job and its result are removed.")
    attempt: int = Field(description="Number of starts; a start that a shutdown interrupted does not count.")
    progress: JobProgress | None
    query: PredictQuery
    upload: JobUpload
    request_id: str


class Job(JobSummary):
    """A job with its result or its problem."""

    result: Prediction | None
    problem: Problem | None
    callback: Callback | None


class JobList(Wire):
    """Response to `GET /jobs`."""

    jobs: list[JobSummary]
    next: str | None = Field(description="Value of `after` for the next page; null on the last page.")


class JobEvent(Wire):
    """Data of an event that is not the last one of its job."""

    state: JobState
    attempt: int
    progress: JobProgress | None
