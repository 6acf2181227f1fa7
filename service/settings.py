"""Every knob of the service: typed, bounded, its unit in its name. Read once, from the environment."""

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.cores import num_cores
from service.inference.engine import EngineName

MEBIBYTE = 1 << 20

HostAndPort = Annotated[str, Field(pattern=r"^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$")]
BatchSizes = Annotated[tuple[Annotated[int, Field(ge=1, le=256)], ...], Field(min_length=1)]


class Settings(BaseSettings):
    """Settings from environment variables named `SERVICE_` and the field's name in capitals; empty is not set."""

    model_config = SettingsConfigDict(env_prefix="SERVICE_", env_ignore_empty=True, frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    models_dir: Path = Field(default=Path("models"), description="Where models lie, as `<name>/<version>/`.")
    default_model: str = Field(
        default="fights", description="Model that answers when none is named; a sole model needs no naming."
    )
    upload_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()),
        description="Where uploads lie while they are worked on, in a directory that is removed with the service.",
    )
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$", description="Least level logged.")

    tracing: bool = Field(
        default=False,
        description="Whether requests are traced, by OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT` and "
        "its like); needs the extra `tracing`.",
    )

    api_keys_file: Path | None = Field(
        default=None,
        description="File of the API keys, as `python -m service.keys` makes it; without it none is asked for.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Origins whose pages may ask, such as `https://example.org`; a JSON list."
    )

    url_allowed_hosts: tuple[HostAndPort, ...] = Field(
        default=(),
        description="Hosts, as `host` or `host:port`, from which videos may be fetched by URL; a JSON list. None: "
        "no URL is taken.",
    )
    url_private_allowed: bool = Field(
        default=False,
        description="Whether these hosts may have addresses of private networks, and be asked without TLS.",
    )

    max_upload_bytes: int = Field(default=100 * MEBIBYTE, ge=1, description="Largest video file taken.")
    upload_idle_timeout_seconds: float = Field(
        default=10, gt=0, description="Longest pause of an upload before it is cut off."
    )
    upload_timeout_seconds: float = Field(default=120, gt=0, description="Longest time one upload may take.")
    max_concurrent_uploads: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="Uploads in progress, or waiting to be worked on; more are refused.",
    )
    max_uploads_per_caller: int = Field(
        default=16, ge=1, le=10_000, description="Of these, how many may be one key's, or without keys one address's."
    )
    max_working_requests: int = Field(
        default_factory=lambda: max(2, num_cores()),
        ge=1,
        le=1000,
        description="Requests being decoded or asked of the model at once.",
    )
    max_waiting_requests: int = Field(
        default_factory=lambda: max(2, num_cores()),
        ge=0,
        le=10_000,
        description="Requests that may wait to be worked on; beyond them new ones are refused (429).",
    )
    deadline_seconds: float = Field(
        default=60, gt=0, le=3600, description="Longest time from the end of the upload to the answer."
    )
    drain_seconds: float = Field(
        default=30, ge=0, description="After SIGTERM, longest time for requests in progress to finish."
    )

    answer_cache_bytes: int = Field(
        default=16 * MEBIBYTE,
        ge=0,
        description="Memory for answers given before, some 3 kB for each video of one clip; 0 keeps none.",
    )

    max_inference_bytes: int = Field(
        default=8 * MEBIBYTE,
        ge=1,
        description="Largest body of an inference request that brings clips; kept in memory.",
    )

    max_pixels_per_frame: int = Field(default=3840 * 2160, ge=64, description="Largest picture decoded.")
    max_duration_seconds: float = Field(default=600, gt=0, description="Longest video taken.")
    max_packets: int = Field(default=200_000, ge=1, description="Most video packets read from one file.")
    decode_children: int = Field(
        default_factory=lambda: max(2, num_cores()), ge=1, le=256, description="Processes that decode."
    )
    decode_threads: int = Field(
        default_factory=num_cores,
        ge=1,
        le=64,
        description=(
            "Threads that decode; a video alone has all, several at once share them. Where several could give other"
            " pixels of a damaged video (docs/video.md), there is one."
        ),
    )
    decode_memory_bytes: int = Field(
        default=2048 * MEBIBYTE, ge=512 * MEBIBYTE, description="Address space of each decode process."
    )
    decode_cpu_seconds: float = Field(
        default=60, gt=0, description="Processor time one video may take in a decode process."
    )

    decode_videos_per_child: int = Field(
        default=500, ge=1, description="Videos after which a decode process is replaced by a fresh one."
    )

    models_at_start: tuple[str, ...] = Field(
        default=(), description="Names of the models to load at start, a JSON list; none: all in the directory."
    )
    max_loaded_models: int = Field(
        default=16,
        ge=1,
        le=1000,
        description="Models and versions loaded at once; at start the default model and the latest versions come "
        "first.",
    )
    model_control: bool = Field(
        default=False,
        description="Whether models may be loaded and unloaded over HTTP where no API keys are configured; with keys, "
        "the scope `admin` may.",
    )
    watch_models_seconds: float = Field(
        default=0, ge=0, description="How often to look for new models in the models directory; 0: never."
    )

    engine: EngineName = Field(
        default="tensorflow", description="What computes the models, `tensorflow` or `openvino`; see the extras."
    )
    engine_threads: int = Field(
        default_factory=num_cores,
        ge=1,
        le=256,
        description="Processor threads of the model; TensorFlow answers as many calls at once.",
    )
    batch_sizes: BatchSizes = Field(
        default=(1, 2, 4), description="Batch sizes the model is called with, 1 among them; a JSON list."
    )
    max_queued_clips: int = Field(
        default=256, ge=1, description="Clips waiting for one model; further ones are refused (429)."
    )
    max_clips_in_flight: int = Field(
        default=8, ge=1, le=256, description="Clips of one request decoded ahead of their answers."
    )

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
        default=10 * 1024 * MEBIBYTE,
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
        default=50 * MEBIBYTE, ge=0, description="From this size on likewise, where its length cannot be told."
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
    def _engine_is_installed(self) -> Self:
        if find_spec(self.engine) is None:
            extra = "openvino" if self.engine == "openvino" else "cpu"
            raise ValueError(f"SERVICE_ENGINE={self.engine} needs an extra: pip install 'framewise[{extra}]'.")
        return self

    @model_validator(mode="after")
    def _tracing_is_possible(self) -> Self:
        # A library that is there for other reasons brings the first of them without the second.
        if self.tracing and (find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None):
            raise ValueError("SERVICE_TRACING needs the extra `tracing`: pip install 'framewise[tracing]'.")
        return self

    @model_validator(mode="after")
    def _jobs_are_possible(self) -> Self:
        if self.database_url is not None and self.jobs_dir is None:
            raise ValueError("SERVICE_DATABASE_URL needs SERVICE_JOBS_DIR, where the uploads of jobs lie.")
        if self.jobs_dir is not None and self.job_workers >= self.decode_children:
            raise ValueError("SERVICE_JOB_WORKERS must be less than SERVICE_DECODE_CHILDREN.")
        if self.webhook_allowed_hosts and self.webhook_secret is None:
            raise ValueError("SERVICE_WEBHOOK_ALLOWED_HOSTS needs SERVICE_WEBHOOK_SECRET.")
        return self
