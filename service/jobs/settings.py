"""Settings of jobs and their webhooks."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class JobSettings(BaseModel):
    """Settings of jobs and their webhooks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs_dir: Path | None = Field(
        default=None,
        description="Where uploads of jobs and, unless told otherwise, their database lie; without it there are no "
        "jobs. It must outlive the process, and be on a local disk if the database is in it.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="Database of jobs, `sqlite:///path` or `postgresql+psycopg://...`; default: `jobs.db` in their "
        "directory.",
    )
    job_workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Jobs run at once; fewer than decode processes, so that a request always finds one.",
    )
    max_queued_jobs: int = Field(default=1000, ge=1, description="Jobs that may wait; further ones are refused (429).")
    max_job_bytes: int = Field(
        default=10 << 30,
        ge=1,
        description="Bytes that uploads and results of all jobs may take; beyond them jobs are refused (507).",
    )
    max_kept_jobs: int = Field(
        default=100_000,
        ge=1,
        description="Jobs that may be there at all, ended ones until they are removed or expire; beyond them jobs are "
        "refused (507).",
    )
    job_share_per_key: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Most of the waiting places, of the kept jobs and of their bytes that one API key may take.",
    )
    job_deadline_seconds: float = Field(
        default=3600, gt=0, description="Longest time an attempt to run a job may take."
    )
    job_max_duration_seconds: float = Field(
        default=7200,
        gt=0,
        description="Longest video taken as a job; packets and processor time are allowed in proportion.",
    )
    job_from_seconds: float = Field(
        default=60, ge=0, description="From this length on clients are told to send a video as a job."
    )
    job_from_bytes: int = Field(
        default=50 << 20, ge=0, description="From this size on likewise, where its length cannot be told."
    )
    job_max_attempts: int = Field(
        default=3, ge=1, le=100, description="Starts after which a job whose process died each time has failed."
    )
    job_lease_seconds: float = Field(
        default=30, ge=1, le=3600, description="How long a job belongs to a process that says nothing any more."
    )
    job_beat_seconds: float = Field(
        default=1,
        gt=0,
        le=60,
        description="How often a process looks for what others did to jobs; its own doings it knows at once.",
    )
    job_retention_seconds: float = Field(
        default=86400, gt=0, description="How long a job is kept with its result after it has ended."
    )
    job_heartbeat_seconds: float = Field(
        default=15, gt=0, description="Longest silence between two events of a job; then comes a comment."
    )
    max_job_listeners: int = Field(
        default=100, ge=1, description="Clients that may listen to events at once; further ones are refused (429)."
    )
    webhook_allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts, or `host:port`, that jobs may be posted to; a JSON list."
    )
    webhook_secret: SecretStr | None = Field(
        default=None, min_length=16, description="Key of the signatures of webhooks; needed where hosts are allowed."
    )
    webhook_private_addresses: bool = Field(
        default=False, description="Whether webhooks may go to addresses that are not public, and over plain http."
    )
    webhook_max_attempts: int = Field(default=8, ge=1, le=100, description="Deliveries of one webhook tried at most.")
    webhook_backoff_seconds: float = Field(
        default=5, gt=0, description="Time before a webhook's second delivery; each further one waits twice as long."
    )
    webhook_max_age_seconds: float = Field(
        default=6 * 3600, gt=0, description="After a job has ended, latest time for a delivery of its webhook."
    )

    @model_validator(mode="after")
    def _jobs_are_possible(self) -> Self:
        if self.database_url is not None and self.jobs_dir is None:
            raise ValueError("SERVICE_DATABASE_URL needs SERVICE_JOBS_DIR, where the uploads of jobs lie.")
        if self.webhook_allowed_hosts and self.webhook_secret is None:
            raise ValueError("SERVICE_WEBHOOK_ALLOWED_HOSTS needs SERVICE_WEBHOOK_SECRET.")
        return self
