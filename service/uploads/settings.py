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
        description="Where uploads lie while they are worked on, in a directory that is removed with the service.",
    )
    max_upload_bytes: int = Field(default=100 << 20, ge=1, description="Largest video file taken.")
    upload_idle_timeout_seconds: float = Field(
        default=10, gt=0, description="Longest pause of an upload before it is cut off."
    )
    upload_timeout_seconds: float = Field(default=120, gt=0, description="Longest time one upload may take.")
    url_allowed_hosts: tuple[HostAndPort, ...] = Field(
        default=(),
        description="Hosts, as `host` or `host:port`, from which videos may be fetched by URL; a JSON list. None: "
        "no URL is taken.",
    )
    url_private_allowed: bool = Field(
        default=False,
        description="Whether these hosts may have addresses of private networks, and be asked without TLS.",
    )
