"""Settings of jobs and their webhooks."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from service.jobs.persistence.url import DatabaseUrl
from service.setting_types import CommaList, HostAndPort


class JobSettings(BaseModel):
    """Settings of jobs and their webhooks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs_dir: Path | None = Field(
        default=None,
        description=(
            "Directory for the uploads of jobs, and for their database unless SERVICE_DATABASE_URL is "
            "set. It must survive restarts; with the database it must be on a local disk. Without it, the "
            "service accepts no jobs."
        ),
    )
    database_url: DatabaseUrl | None = Field(
        default=None,
        description=(
            "Database of jobs: `sqlite:///path` or `postgresql+psycopg://...`. Default: `jobs.db` in SERVICE_JOBS_DIR."
        ),
    )
    database_timeout_seconds: float = Field(
        default=5,
        ge=1,
        le=60,
        description=(
            "Longest time that a request waits for the database of jobs, including a lock that another program holds; "
            "then the response is 503 `database_unavailable`."
        ),
    )
    job_workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description=(
            "Jobs that run at the same time. Must be less than SERVICE_DECODE_CHILDREN, so that a decode "
            "worker is left for requests."
        ),
    )
    max_queued_jobs: int = Field(
        default=1000, ge=1, description="Length of the queue of jobs. Further jobs are refused (429)."
    )
    max_job_bytes: int = Field(
        default=10 << 30,
        ge=1,
        description="Storage for the uploads and results of all jobs. Further jobs are refused (507).",
    )
    max_kept_jobs: int = Field(
        default=100_000,
        ge=1,
        description=(
            "Most jobs in the database, including ended jobs that have not expired. Further jobs are refused (507)."
        ),
    )
    job_share_per_key: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description=(
            "Largest fraction of SERVICE_MAX_QUEUED_JOBS, SERVICE_MAX_JOB_BYTES and SERVICE_MAX_KEPT_JOBS that one API "
            "key may use; and of SERVICE_MAX_JOB_LISTENERS, which without keys one client address may use."
        ),
    )
    job_deadline_seconds: float = Field(default=3600, gt=0, description="Longest time for one attempt of a job.")
    job_max_duration_seconds: float = Field(
        default=7200,
        gt=0,
        description="Longest video of a job. The limits for packets and processor time grow in proportion.",
    )
    job_from_seconds: float = Field(
        default=60, ge=0, description="Length of a video from which clients should submit it as a job."
    )
    job_from_bytes: int = Field(
        default=50 << 20,
        ge=0,
        description="Size of a file from which clients should submit it as a job, if its length is unknown.",
    )
    job_max_attempts: int = Field(
        default=3, ge=1, le=100, description="Attempts after which a job fails if the process of each attempt died."
    )
    job_lease_seconds: float = Field(
        default=30,
        ge=1,
        le=3600,
        description="Time after which another process may take over a job whose process no longer renews its lease.",
    )
    job_beat_seconds: float = Field(
        default=1,
        gt=0,
        le=60,
        description="Interval at which a process polls the database for changes by other processes.",
    )
    job_retention_seconds: float = Field(
        default=86400, gt=0, description="Time for which an ended job and its result are kept."
    )
    job_heartbeat_seconds: float = Field(
        default=15, gt=0, description="Longest silence in a stream of events; then a comment is sent."
    )
    max_job_listeners: int = Field(
        default=100, ge=1, description="Most open streams of events. Further streams are refused (429)."
    )
    webhook_allowed_hosts: CommaList[HostAndPort] = Field(
        default=(), description="Hosts that webhooks may call, each as `host` or `host:port`; a list."
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Key for the signatures of webhooks; required if SERVICE_WEBHOOK_ALLOWED_HOSTS is set.",
    )
    webhook_private_addresses: bool = Field(
        default=False, description="Whether webhooks may call private addresses and plain `http` URLs."
    )
    webhook_max_concurrent: int = Field(
        default=32,
        ge=1,
        le=1000,
        description=(
            "Most deliveries of webhooks at the same time. One API key holds at most a half of them, one host three "
            "quarters, and one key at one host a third."
        ),
    )
    webhook_max_attempts: int = Field(default=8, ge=1, le=100, description="Most delivery attempts of one webhook.")
    webhook_backoff_seconds: float = Field(
        default=5, gt=0, description="Time before the second delivery attempt; each further wait is twice as long."
    )
    webhook_max_age_seconds: float = Field(
        default=6 * 3600, gt=0, description="Time after the end of a job at which delivery of its webhook is given up."
    )

    @model_validator(mode="after")
    def _jobs_are_possible(self) -> Self:
        if self.database_url is not None and self.jobs_dir is None:
            raise ValueError("SERVICE_DATABASE_URL needs SERVICE_JOBS_DIR for the uploads of jobs.")
        if self.webhook_allowed_hosts and self.webhook_secret is None:
            raise ValueError("SERVICE_WEBHOOK_ALLOWED_HOSTS needs SERVICE_WEBHOOK_SECRET.")
        return self
