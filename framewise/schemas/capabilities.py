"""What a service accepts: limits, formats, jobs."""

from typing import Literal

from pydantic import Field

from framewise.schemas.isolation import Isolation
from framewise.schemas.wire import Wire


class Limits(Wire):
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


class JobCapabilities(Wire):
    """When a video is better sent as a job, and how long it may be, by the names of the settings."""

    job_from_seconds: float
    job_from_bytes: int
    job_max_duration_seconds: float
    job_deadline_seconds: float


class ModelCapabilities(Wire):
    """How one ready model runs."""

    name: str
    version: str
    engine: str
    device: Literal["cpu", "gpu"]
    batch_sizes: list[int] = Field(description="Those that answer, bit for bit, as one clip alone does.")


class Capabilities(Wire):
    """The answer to `GET /capabilities`."""

    limits: Limits
    jobs: JobCapabilities | None = Field(description="Null where the service takes no jobs.")
    isolation: Isolation = Field(description="Which walls stand around the decode processes on this machine.")
    containers: list[str] = Field(description="Allowed, and found at start to be readable on this machine.")
    codecs: list[str] = Field(description="Allowed, and found at start to be decodable on this machine.")
    models: list[ModelCapabilities]
