"""Settings of authentication."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class KeySettings(BaseModel):
    """Settings of authentication."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_keys_file: Path | None = Field(
        default=None,
        description="File of the API keys, as `python -m service.keys` makes it; without it none is asked for.",
    )
