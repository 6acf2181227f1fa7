"""Every setting of the service, read once from the environment: the sum of the settings of its packages."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.inference.settings import InferenceSettings
from service.jobs.settings import JobSettings
from service.keys.settings import KeySettings
from service.model_control.settings import ModelControlSettings
from service.prediction.settings import PredictionSettings
from service.telemetry.settings import TelemetrySettings
from service.uploads.settings import UploadSettings
from service.video.sandbox.settings import SandboxSettings


class ServerSettings(BaseModel):
    """Settings of the HTTP server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 selects a free port.")
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Origins whose pages may call the API, such as `https://example.org`; a JSON list."
    )
    drain_seconds: float = Field(default=30, ge=0, description="Time for requests in progress to finish after SIGTERM.")


class Settings(
    # Pydantic orders fields from the last base class to the first.
    JobSettings,
    InferenceSettings,
    ModelControlSettings,
    SandboxSettings,
    PredictionSettings,
    UploadSettings,
    KeySettings,
    TelemetrySettings,
    ServerSettings,
    BaseSettings,
):
    """Settings from the environment: `SERVICE_` and the field's name in capitals. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix="SERVICE_", env_ignore_empty=True, frozen=True, extra="forbid")

    @model_validator(mode="after")
    def _jobs_leave_a_decode_worker(self) -> Self:
        if self.jobs_dir is not None and self.job_workers >= self.decode_children:
            raise ValueError("SERVICE_JOB_WORKERS must be less than SERVICE_DECODE_CHILDREN.")
        return self
