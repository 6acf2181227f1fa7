"""Settings of authentication."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class KeySettings(BaseModel):
    """Settings of authentication."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_keys_file: Path | None = Field(
        default=None,
        description="File of API keys, written by `python -m service.keys`. Without it, requests need no key.",
    )
