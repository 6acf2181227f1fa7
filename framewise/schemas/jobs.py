"""Jobs on the wire: their queries, states, results and events."""

from typing import Literal

from pydantic import Field

from framewise.schemas.prediction import Prediction, PredictQuery
from framewise.schemas.problem import Problem
from framewise.schemas.wire import Wire


class JobQuery(PredictQuery):
    """What a caller may ask of a job."""

    callback_url: str | None = Field(
        default=None, max_length=2048, description="Where to post the job when it is done or has failed."
    )


JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class JobListQuery(Wire):
    """Which jobs to list."""

    state: JobState | None = Field(default=None, description="Only jobs in this state.")
    limit: int = Field(default=50, ge=1, le=200, description="How many at most.")
    after: str | None = Field(default=None, max_length=64, description="The `next` of the page before.")


class JobProgress(Wire):
    """How many of a video's clips are answered."""

    num_clips_done: int
    num_clips: int


class JobUpload(Wire):
    """The video a job was made for."""

    num_bytes: int
    sha256: str


class Delivery(Wire):
    """One attempt to post a job to its callback: a status, or the name of what came instead."""

    number: int
    at: str
    status: int | None
    error: str | None
    milliseconds: float


class Callback(Wire):
    """What has become of a job's callback."""

    url: str
    state: Literal["waiting", "pending", "delivered", "given_up"]
    deliveries: list[Delivery]


class JobSummary(Wire):
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


class JobList(Wire):
    """The answer to `GET /jobs`."""

    jobs: list[JobSummary]
    next: str | None = Field(description="What to ask for as `after` to see more; null at the end.")


class JobEvent(Wire):
    """What an event that is not the last carries."""

    state: JobState
    attempt: int
    progress: JobProgress | None
