"""The manifest of a model, `manifest.json` beside its SavedModel: written by training, read by serving.

Knows neither TensorFlow nor how clips are decoded.
"""

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.inference.errors import InvalidModel
from service.inference.model_files import model_files, read_regular_file
from service.video.clip import ClipSpec
from service.video.quality import PictureEnvelope

MANIFEST_NAME = "manifest.json"
CARD_NAME = "MODEL_CARD.md"
CARD_JSON_NAME = "MODEL_CARD.json"
_IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GoldenClip(_Part):
    """A short video beside the model, with the model's outputs for it at export.

    `frames_sha256` is the digest of the decoded clip's `frames` bytes; `probabilities` float [K] and
    `attention` float [T] are the outputs of the exported graph.
    """

    path: str
    frames_sha256: str
    probabilities: tuple[float, ...]
    attention: tuple[float, ...]
    times_seconds: tuple[float, ...]


class ConformalSets(_Part):
    """A rule for label sets that contain the true label in a fraction `coverage` of the videos.

    A set holds every label of at least `least_probability`, and always the most probable label.
    """

    coverage: float = Field(gt=0, lt=1)
    least_probability: float = Field(ge=0, le=1)

    def holds(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """The labels in each video's set, bool [..., K], for its probabilities [..., K]."""
        is_most_probable: NDArray[np.bool_] = np.arange(probabilities.shape[-1]) == probabilities.argmax(
            -1, keepdims=True
        )
        return (probabilities >= self.least_probability) | is_most_probable


class Manifest(_Part):
    """Everything that serving needs to run the model and to verify its files."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=_IDENTIFIER)
    version: str = Field(pattern=r"^[0-9]{1,9}$")
    description: str
    created_at: str
    labels: tuple[str, ...] = Field(min_length=2)
    clip: ClipSpec
    combine: Literal["mean", "max"] = "mean"
    """How the predictions of a video's clips are combined; see `combine_clips`."""
    temperature: float = Field(default=1.0, gt=0)
    """Temperature of the calibration. The graph applies it already; the value is here for the record."""
    abstention_threshold: float = Field(default=0.0, ge=0, le=1)
    """The service abstains if the highest probability is below this threshold."""
    head: Literal["softmax", "sigmoid", "multi_label"] | None = None
    """Kind of probabilities; None means `softmax`. With `softmax` and `sigmoid` (two labels) exactly one label is
    true and the probabilities sum to 1; with `multi_label` each label is independent."""
    label_thresholds: tuple[float, ...] | None = None
    """With `multi_label`: the probability from which each label is accepted; replaces `abstention_threshold`."""
    num_frames_per_step: int | None = Field(default=None, ge=2)
    """Number of consecutive frames that share one time step of the network, and its attention; None means 1."""
    conformal: ConformalSets | None = None
    """The rule for label sets; None if the model has none."""
    attention_is_explanation: bool | None = None
    """Whether, measured, frames of high attention affect the prediction more than random frames; None if it was not
    measured, or the measurement is inconclusive."""
    picture_envelope: PictureEnvelope | None = None
    """Percentiles of luminance and sharpness over the training clips; None if not recorded."""
    golden_tolerance: float = Field(default=1e-3, gt=0)
    """Largest allowed difference to a golden output; kernels differ between CPU types."""
    golden: tuple[GoldenClip, ...] = Field(min_length=1)
    metrics: dict[str, Any]
    training: dict[str, Any]
    files: dict[str, str]
    """SHA-256 of every file but the manifest, by path relative to the model's directory."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be unique")
        if self.label_thresholds is not None and (
            self.head != "multi_label" or len(self.label_thresholds) != len(self.labels)
        ):
            raise ValueError("label_thresholds need the head multi_label, and one threshold per label")
        if self.head == "sigmoid" and len(self.labels) != 2:  # noqa: PLR2004 - yes or no
            raise ValueError("a sigmoid head needs exactly two labels")
        if self.head == "multi_label" and self.conformal is not None:
            raise ValueError("conformal needs a head with exactly one true label, not multi_label")
        if self.clip.num_frames % (self.num_frames_per_step or 1):
            raise ValueError("num_frames_per_step must divide the clip's num_frames")
        for golden in self.golden:
            if golden.path not in self.files:
                raise ValueError(f"golden clip {golden.path} has no digest in files")
            if len(golden.probabilities) != len(self.labels):
                raise ValueError(f"golden clip {golden.path} must have one probability per label")
            if not len(golden.attention) == len(golden.times_seconds) == self.clip.num_frames:
                raise ValueError(f"golden clip {golden.path} must have one attention and one time per frame")
        return self

    @property
    def sums_to_one(self) -> bool:
        """Whether exactly one label is true, so that the probabilities sum to 1."""
        return self.head != "multi_label"

    def accepts(self, probabilities: NDArray[np.float64], threshold: float | None = None) -> NDArray[np.bool_]:
        """The labels that the model predicts for a video, bool [K], from its probabilities [K].

        A label is accepted if it reaches its threshold; if exactly one label is true, only the most probable one can
        be accepted. `threshold` replaces the model's own.
        """
        own = self.abstention_threshold if self.label_thresholds is None else np.array(self.label_thresholds)
        reaches: NDArray[np.bool_] = probabilities >= (own if threshold is None else threshold)
        return reaches & (np.arange(len(probabilities)) == probabilities.argmax()) if self.sums_to_one else reaches

    def to_json(self) -> str:
        """The text of `manifest.json`; equal manifests give equal text.

        Fields that are None are left out, so a new optional field does not change the digest of older models.
        """
        return json.dumps(self.model_dump(mode="json", exclude_none=True), indent=2, sort_keys=True) + "\n"

    @property
    def digest(self) -> str:
        """`sha256:...` of the manifest, which covers every byte of the model through `files`."""
        return "sha256:" + hashlib.sha256(self.to_json().encode()).hexdigest()


def combine_clips(
    clip_probabilities: NDArray[np.float32], how: Literal["mean", "max"], *, sums_to_one: bool = True
) -> NDArray[np.float64]:
    """A video's probabilities float64 [K] from those of its clips [N, K], N >= 1.

    `mean` averages over clips. `max` takes each label's highest probability over clips, then, if `sums_to_one`,
    divides by the sum; it suits short events, which few of a video's clips show.
    """
    clips: NDArray[np.float64] = clip_probabilities.astype(np.float64)
    if how == "mean":
        mean: NDArray[np.float64] = clips.mean(axis=0)
        return mean
    peaks: NDArray[np.float64] = clips.max(axis=0)
    if sums_to_one:
        peaks /= peaks.sum()
    return peaks


def file_digests(directory: Path) -> dict[str, str]:
    """SHA-256 of every file under `directory` but the manifest, by path relative to `directory`.

    Files that operating systems and file servers leave in directories are not files of the model.
    """
    return {path: _digest(directory / path) for path in sorted(model_files(directory)) if path != MANIFEST_NAME}


def read_manifest(directory: Path) -> Manifest:
    """Read and validate the manifest of the model in `directory`; does not verify the model's files.

    Raises:
        InvalidModel: the manifest is missing, not JSON, or invalid.
    """
    try:
        return Manifest.model_validate_json(read_regular_file(directory / MANIFEST_NAME))
    except OSError as error:
        raise InvalidModel(f"{directory}: no readable {MANIFEST_NAME}: {error.strerror}") from error
    except ValidationError as error:
        raise InvalidModel(f"{directory}/{MANIFEST_NAME}: {error}") from error


def verify_files(directory: Path, manifest: Manifest) -> None:
    """Check the files of the model in `directory` against the digests in its manifest.

    Raises:
        InvalidModel: a file is altered, missing or not listed, or the directory cannot be read.
    """
    try:
        differing = sorted(
            {path for path, digest in manifest.files.items() if not _has_digest(directory, path, digest)}
            | (model_files(directory) - manifest.files.keys() - {MANIFEST_NAME})
        )
    except OSError as error:
        raise InvalidModel(f"{directory}: its files cannot be read: {error.strerror}") from error
    if differing:
        raise InvalidModel(f"{directory}: altered, missing or unlisted files: {', '.join(differing)}")


def _has_digest(directory: Path, path: str, digest: str) -> bool:
    """Whether `path`, relative to `directory` and inside it, is a regular file with this digest."""
    inside = PurePosixPath(path)
    if inside.is_absolute() or ".." in inside.parts or not (directory / inside).is_file():
        return False
    return _digest(directory / inside) == digest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
