"""Settings of receiving a video."""

import tempfile
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

HostAndPort = Annotated[str, Field(pattern=r"^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$")]


class UploadSettings(BaseModel):
    """Settings of receiving a video."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upload_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()),
        description=(
            "Directory for uploads in progress. The service creates a directory of its own in it, and "
            "deletes that at its end."
        ),
    )
    max_upload_bytes: int = Field(default=100 << 20, ge=1, description="Largest video file.")
    upload_idle_timeout_seconds: float = Field(default=10, gt=0, description="Longest pause within an upload.")
    upload_timeout_seconds: float = Field(default=120, gt=0, description="Longest time for one upload.")
    url_allowed_hosts: tuple[HostAndPort, ...] = Field(
        default=(),
        description=(
            "Hosts from which the service may fetch videos by URL, each as `host` or `host:port`; a JSON "
            "list. If it is empty, requests with a URL are refused (403)."
        ),
    )
    url_private_allowed: bool = Field(
        default=False,
        description="Whether hosts of SERVICE_URL_ALLOWED_HOSTS may have private addresses and plain `http` URLs.",
    )
