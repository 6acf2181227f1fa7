"""Schemas of `GET /capabilities`: limits, formats, jobs and models of a service."""

from typing import Literal

from pydantic import Field

from framewise.schemas.isolation import Isolation
from framewise.schemas.wire import Wire


class Limits(Wire):
    """Limits in force, named after their settings."""

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
    """Limits of jobs and the sizes from which a job is recommended, named after their settings."""

    job_from_seconds: float
    job_from_bytes: int
    job_max_duration_seconds: float
    job_deadline_seconds: float


class ModelCapabilities(Wire):
    """How the service runs one ready model."""

    name: str
    version: str
    engine: str
    device: Literal["cpu", "gpu"]
    batch_sizes: list[int] = Field(
        description="Verified batch sizes: a clip in such a batch has the same result, bit for bit, as alone."
    )


class Capabilities(Wire):
    """Response to `GET /capabilities`."""

    limits: Limits
    jobs: JobCapabilities | None = Field(description="Null if the service does not accept jobs.")
    isolation: Isolation = Field(description="Isolation of the decode workers on this machine.")
    containers: list[str] = Field(description="Allowed containers that this machine can read, checked at start.")
    codecs: list[str] = Field(description="Allowed codecs that this machine can decode, checked at start.")
    models: list[ModelCapabilities]
