"""Query options of the service, as keyword arguments of the client. The service applies its default to None."""

from typing import Literal, TypedDict


class ValidateOptions(TypedDict, total=False):
    """Options of `validate`."""

    model: str | None
    """Name of the model."""
    version: str | None
    """Version of the model; default: the latest."""
    deadline_seconds: float | None
    """Time limit for the response, counted from the end of the upload."""


class PredictOptions(ValidateOptions, total=False):
    """Options of `predict`."""

    top_k: int | None
    """Number of most probable labels to list."""
    threshold: float | None
    """Minimum probability, 0 to 1, of an accepted label."""
    frames: Literal["all", "top", "none"] | None
    """Frames to list: all, the three of each clip with the most attention, or none."""


class JobOptions(PredictOptions, total=False):
    """Options of `submit_job`."""

    callback_url: str | None
    """URL to which the service posts the job after it ends."""
