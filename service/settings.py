"""Every setting of the service, read once from the environment: the sum of the settings of its packages."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.connections.settings import ConnectionSettings
from service.environment import PREFIX, InvalidSettings, nearest_name, read_environment, unknown_names, variable_names
from service.fair_share.settings import FairShareSettings
from service.inference.settings import InferenceSettings
from service.jobs.settings import JobSettings
from service.keys.settings import KeySettings
from service.model_control.settings import ModelControlSettings
from service.prediction.settings import PredictionSettings
from service.setting_types import CommaList, Origin, require_bindable_host, require_no_link, require_path_prefix
from service.telemetry.settings import TelemetrySettings
from service.uploads.settings import UploadSettings
from service.video.sandbox.settings import SandboxSettings


class ServerSettings(BaseModel):
    """Settings of the HTTP server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Annotated[str, AfterValidator(require_bindable_host)] = Field(
        default="127.0.0.1", description="Address to listen on."
    )
    port: Annotated[int, BeforeValidator(require_no_link), Field(ge=0, le=65535)] = Field(
        default=8000, description="Port to listen on; 0 selects a free port."
    )
    cors_origins: CommaList[Origin] = Field(
        default=(),
        description=(
            "Origins whose pages may call the API, as browsers send them, such as `https://example.org`: scheme, host"
            " and any port, without a path; a list. `*` allows all."
        ),
    )
    root_path: Annotated[str, AfterValidator(require_path_prefix)] = Field(
        default="",
        description=(
            "Path under which a proxy serves the service, such as `/video`, whether or not the proxy removes it from "
            "requests. `X-Forwarded-Prefix` of a trusted proxy takes precedence."
        ),
    )
    drain_delay_seconds: float = Field(
        default=0,
        ge=0,
        description=(
            "Time after SIGTERM for which new requests are still served while `/health/ready` is 503, so that a load"
            " balancer notices; then the drain begins."
        ),
    )
    drain_seconds: float = Field(default=30, ge=0, description="Time for requests in progress to finish after SIGTERM.")
    close_seconds: float = Field(
        default=15,
        gt=0,
        description=(
            "Time to close connections, models and databases after the drain. Then the process ends, whatever it waits "
            "for."
        ),
    )
    ignored_variables: CommaList[str] = Field(
        default=(),
        description=(
            "Names that begin with `SERVICE_` and that other software sets, such as `SERVICE_NAME`; a list. Any other"
            " unknown name is an error."
        ),
    )


class Settings(
    # Pydantic orders fields from the last base class to the first.
    JobSettings,
    InferenceSettings,
    ModelControlSettings,
    SandboxSettings,
    FairShareSettings,
    PredictionSettings,
    UploadSettings,
    KeySettings,
    TelemetrySettings,
    ConnectionSettings,
    ServerSettings,
    BaseSettings,
):
    """Settings from the environment: `SERVICE_` and the field's name in capitals. An empty variable counts as unset."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    @model_validator(mode="after")
    def _jobs_leave_a_decode_worker(self) -> Self:
        if self.jobs_dir is not None and self.job_workers >= self.decode_children:
            raise ValueError("SERVICE_JOB_WORKERS must be less than SERVICE_DECODE_CHILDREN.")
        return self


# Read by `docker-compose.yml`, on the machine that runs it.
_OF_COMPOSE = ("SERVICE_PUBLISHED_ADDRESS", "SERVICE_PUBLISHED_PORT")


def read_settings() -> Settings:
    """The settings from the environment.

    Raises:
        InvalidSettings: a value is invalid, or a variable that begins with `SERVICE_` is no setting.
    """
    settings = read_environment(Settings)
    known = variable_names(Settings)
    unknown = unknown_names(known, (*_OF_COMPOSE, *settings.ignored_variables))
    if unknown:
        raise InvalidSettings(
            "\n".join(
                f"{name}: there is no such setting. The nearest one is {nearest_name(name, known)}. If other software"
                f" sets {name}, list it in SERVICE_IGNORED_VARIABLES."
                for name in unknown
            )
        )
    return settings
