"""Settings of the engine and its batches."""

from importlib.util import find_spec
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.cores import num_cores
from service.inference.engine import EngineName
from service.setting_types import CommaList

BatchSizes = Annotated[CommaList[Annotated[int, Field(ge=1, le=256)]], Field(min_length=1)]


class InferenceSettings(BaseModel):
    """Settings of the engine and its batches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: EngineName = Field(
        default="tensorflow", description="Inference engine, `tensorflow` or `openvino`; each needs its extra."
    )
    engine_threads: int = Field(
        default_factory=num_cores,
        ge=1,
        le=256,
        description="Processor threads of the engine. TensorFlow runs this many batches at once.",
    )
    batch_sizes: BatchSizes = Field(
        default=(1, 2, 4), description="Batch sizes for calls of the model; a list. 1 is always one of them."
    )
    max_call_seconds: float = Field(
        default=0.05,
        gt=0,
        le=60,
        description=(
            "Longest time of a model call with several clips; batches are made smaller to keep it. Nothing interrupts "
            "a call, so the clips of other callers wait for its end. A batch that takes at most 1.5 times as long as a "
            "single clip may take longer."
        ),
    )
    max_queued_clips: int = Field(
        default=256, ge=1, description="Length of each model's queue of clips. Further requests are refused (429)."
    )

    @model_validator(mode="after")
    def _engine_is_installed(self) -> Self:
        if find_spec(self.engine) is None:
            # Each extra has the name of its engine.
            raise ValueError(
                f"SERVICE_ENGINE={self.engine} needs an extra: pip install 'framewise-server[{self.engine}]'."
            )
        return self
