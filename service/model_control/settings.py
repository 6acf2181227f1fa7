"""Settings of loading and unloading models."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from service.setting_types import CommaList


class ModelControlSettings(BaseModel):
    """Settings of loading and unloading models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models_dir: Path = Field(default=Path("models"), description="Directory of the models, as `<name>/<version>/`.")
    default_model: str = Field(
        default="fights",
        description="Model for requests that name none. If the directory has only one model, that is the default.",
    )
    models_at_start: CommaList[str] = Field(
        default=(),
        description="Names of the models to load at start; a list. If it is empty, all models are loaded.",
    )
    max_loaded_models: int = Field(
        default=16,
        ge=1,
        le=1000,
        description=(
            "Most versions of models loaded at once. At start, the default model and the latest versions come first."
        ),
    )
    model_control: bool = Field(
        default=False,
        description=(
            "Whether models may be loaded and unloaded over HTTP if no API keys are configured. With "
            "keys, the scope `admin` allows it."
        ),
    )
    watch_models_seconds: float = Field(
        default=0,
        ge=0,
        description="Interval at which the models directory is scanned for new models; 0 disables the scan.",
    )
