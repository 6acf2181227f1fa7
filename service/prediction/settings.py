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
        description="Uploads in progress, or waiting to be worked on; more are refused.",
    )
    max_uploads_per_caller: int = Field(
        default=16, ge=1, le=10_000, description="Of these, how many may be one key's, or without keys one address's."
    )
    max_working_requests: int = Field(
        default_factory=lambda: max(2, num_cores()),
        ge=1,
        le=1000,
        description="Requests being decoded or asked of the model at once.",
    )
    max_waiting_requests: int = Field(
        default_factory=lambda: max(2, num_cores()),
        ge=0,
        le=10_000,
        description="Requests that may wait to be worked on; beyond them new ones are refused (429).",
    )
    deadline_seconds: float = Field(
        default=60, gt=0, le=3600, description="Longest time from the end of the upload to the answer."
    )
    max_clips_in_flight: int = Field(
        default=8, ge=1, le=256, description="Clips of one request decoded ahead of their answers."
    )
    answer_cache_bytes: int = Field(
        default=16 << 20,
        ge=0,
        description="Memory for answers given before, some 3 kB for each video of one clip; 0 keeps none.",
    )
    max_inference_bytes: int = Field(
        default=8 << 20,
        ge=1,
        description="Largest body of an inference request that brings clips; kept in memory.",
    )
