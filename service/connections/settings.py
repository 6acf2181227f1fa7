"""Settings of connections."""

from pydantic import BaseModel, ConfigDict, Field

MAX_LINGER_BYTES = 128 << 20
MAX_LINGER_SECONDS = 30.0
KEEP_ALIVE_SECONDS = 75.0


class ConnectionSettings(BaseModel):
    """Settings of connections."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_connections: int = Field(
        default=1024,
        ge=1,
        description=(
            "Most connections of clients. Above it, the connection that has been without a request for the longest time"
            " is closed; if all have one, further requests other than health probes and scrapes are refused (503). The"
            " limit of open files (`ulimit -n`) may allow fewer, which the log states at start."
        ),
    )
    max_connections_per_address: int | None = Field(
        default=None,
        ge=1,
        description=(
            "Most connections of one client address (of IPv6: one /64); a proxy is one address. Default: half of the"
            " connections that there may be."
        ),
    )
    keep_alive_seconds: float = Field(
        default=KEEP_ALIVE_SECONDS,
        ge=0,
        description=(
            "Time for which a connection stays open without a request after a response. It should be longer than the"
            " same time of a proxy or load balancer in front."
        ),
    )
    linger_bytes: int = Field(
        default=MAX_LINGER_BYTES,
        ge=0,
        description=(
            "Bytes of a request's body that are read and discarded after its response, so that a client that sends the"
            " whole body first can read the response. It should exceed SERVICE_MAX_UPLOAD_BYTES."
        ),
    )
    linger_seconds: float = Field(
        default=MAX_LINGER_SECONDS,
        ge=0,
        description="Time for which such bytes are read and discarded; a pause of 5 s ends it, too.",
    )
