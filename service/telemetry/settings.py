"""Settings of logs and traces."""

from importlib.util import find_spec
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TelemetrySettings(BaseModel):
    """Settings of logs and traces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$", description="Least level logged.")
    tracing: bool = Field(
        default=False,
        description="Whether requests are traced, by OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT` and "
        "its like); needs the extra `tracing`.",
    )

    @model_validator(mode="after")
    def _tracing_is_possible(self) -> Self:
        # A library that is there for other reasons brings the first of them without the second.
        if self.tracing and (find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None):
            raise ValueError("SERVICE_TRACING needs the extra `tracing`: pip install 'framewise-server[tracing]'.")
        return self
