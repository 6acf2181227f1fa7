"""Settings of loading and unloading models."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class ModelControlSettings(BaseModel):
    """Settings of loading and unloading models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models_dir: Path = Field(default=Path("models"), description="Where models lie, as `<name>/<version>/`.")
    default_model: str = Field(
        default="fights", description="Model that answers when none is named; a sole model needs no naming."
    )
    models_at_start: tuple[str, ...] = Field(
        default=(), description="Names of the models to load at start, a JSON list; none: all in the directory."
    )
    max_loaded_models: int = Field(
        default=16,
        ge=1,
        le=1000,
        description="Models and versions loaded at once; at start the default model and the latest versions come "
        "first.",
    )
    model_control: bool = Field(
        default=False,
        description="Whether models may be loaded and unloaded over HTTP where no API keys are configured; with keys, "
        "the scope `admin` may.",
    )
    watch_models_seconds: float = Field(
        default=0, ge=0, description="How often to look for new models in the models directory; 0: never."
    )
