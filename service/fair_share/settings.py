"""Settings of the shares between callers."""

from pydantic import BaseModel, ConfigDict, Field


class FairShareSettings(BaseModel):
    """Settings of the shares between callers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fair_share_half_life_seconds: float = Field(
        default=10,
        gt=0,
        le=3600,
        description=(
            "Time after which half of the seconds that a caller used (processor time of decoding and time of the "
            "model) are forgotten. A caller is an API key, or an address if there are no keys; the jobs of a caller "
            "count for themselves."
        ),
    )
    fair_share_turn_seconds: float = Field(
        default=0.5,
        gt=0,
        le=60,
        description=(
            "Seconds that a caller may use more than another one before it gives way, and that a request may use "
            "before a caller that used less interrupts it. A caller that used more than twice as much is interrupted "
            "at once."
        ),
    )
    fair_share_max_pause_seconds: float = Field(
        default=5,
        gt=0,
        le=600,
        description="Longest pause of an interrupted request; then it has a turn, whoever else waits.",
    )
    max_preempting_requests: int = Field(
        default=4,
        ge=0,
        le=256,
        description=(
            "Requests that may work in addition to SERVICE_MAX_WORKING_REQUESTS and SERVICE_DECODE_CHILDREN, one for "
            "each caller that has no request at work, while requests of callers that used more pause."
        ),
    )
