"""Settings of logs and traces."""

from importlib.util import find_spec
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

DEFAULT_LOG_BUFFER_BYTES = 4 << 20


class TelemetrySettings(BaseModel):
    """Settings of logs and traces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log_level: str = Field(
        default="info",
        pattern="^(debug|info|warning|error)$",
        description="Lowest level that is logged: `debug`, `info`, `warning` or `error`.",
    )
    log_probes: bool = Field(
        default=True,
        description=(
            "Whether health probes and scrapes of `/metrics` are logged. Failed ones are always logged, except 503 of a"
            " service that is not ready."
        ),
    )
    log_buffer_bytes: int = Field(
        default=DEFAULT_LOG_BUFFER_BYTES,
        ge=1 << 16,
        description="Log lines that wait for the reader of standard error. Further lines are dropped and counted.",
    )
    tracing: bool = Field(
        default=False,
        description=(
            "Whether requests are traced. Configure the export with OpenTelemetry's own variables, such "
            "as `OTEL_EXPORTER_OTLP_ENDPOINT`. Needs the extra `tracing`."
        ),
    )

    @model_validator(mode="after")
    def _tracing_is_possible(self) -> Self:
        # Other libraries may install `opentelemetry` without its SDK.
        if self.tracing and (find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None):
            raise ValueError("SERVICE_TRACING needs the extra `tracing`: pip install 'framewise-server[tracing]'.")
        return self
