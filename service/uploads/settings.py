"""Settings of receiving a video."""

import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from service.environment import InvalidSettings
from service.setting_types import CommaList, HostAndPort


def _temporary_directory() -> Path:
    """The system's temporary directory; raises InvalidSettings if there is none that can be written to."""
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise InvalidSettings(
            "SERVICE_UPLOAD_DIR: it is not set, and this machine has no temporary directory that can be written to."
            " Set it to a directory for uploads, or TMPDIR to a directory for all temporary files."
        ) from error


class UploadSettings(BaseModel):
    """Settings of receiving a video."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upload_dir: Path = Field(
        default_factory=_temporary_directory,
        description=(
            "Directory for uploads in progress. The service creates a directory of its own in it, and "
            "deletes that at its end."
        ),
    )
    upload_dir_check_seconds: float = Field(
        default=5,
        gt=0,
        description=(
            "Interval at which the service writes to the upload directory. While that fails, it is not ready."
        ),
    )
    max_upload_bytes: int = Field(default=100 << 20, ge=1, description="Largest video file.")
    upload_idle_timeout_seconds: float = Field(default=10, gt=0, description="Longest pause within an upload.")
    upload_timeout_seconds: float = Field(default=120, gt=0, description="Longest time for one upload.")
    url_allowed_hosts: CommaList[HostAndPort] = Field(
        default=(),
        description=(
            "Hosts from which the service may fetch videos by URL, each as `host` or `host:port`; a "
            "list. If it is empty, requests with a URL are refused (403)."
        ),
    )
    url_private_allowed: bool = Field(
        default=False,
        description="Whether hosts of SERVICE_URL_ALLOWED_HOSTS may have private addresses and plain `http` URLs.",
    )
