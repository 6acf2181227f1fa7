"""Settings of admission, deadlines and the cache of predictions."""

from pydantic import BaseModel, ConfigDict, Field

from service.cores import num_cores


class PredictionSettings(BaseModel):
    """Settings of admission, deadlines and the cache of predictions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_concurrent_uploads: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description=(
            "Upload slots: requests that upload a video or wait in the queue. Further requests are refused (429)."
        ),
    )
    max_uploads_per_caller: int = Field(
        default=16,
        ge=1,
        le=10_000,
        description="Upload slots of one API key, or of one client address if there are no keys.",
    )
    max_working_requests: int = Field(
        default_factory=lambda: max(2, num_cores()),
        ge=1,
        le=1000,
        description="Work slots: requests that are decoded or classified at the same time.",
    )
    max_waiting_requests: int = Field(
        default_factory=lambda: max(2, num_cores()),
        ge=0,
        le=10_000,
        description="Length of the queue for work slots. Further requests are refused (429).",
    )
    deadline_seconds: float = Field(
        default=60, gt=0, le=3600, description="Longest time from the end of the upload to the response."
    )
    max_clips_in_flight: int = Field(
        default=8,
        ge=1,
        le=256,
        description="Clips of one request that may be in the model or its queue at the same time.",
    )
    answer_cache_bytes: int = Field(
        default=16 << 20,
        ge=0,
        description="Memory for cached predictions, about 3 kB for a video of one clip; 0 disables the cache.",
    )
    max_inference_bytes: int = Field(
        default=8 << 20,
        ge=1,
        description="Largest body of an inference request; it is held in memory.",
    )
