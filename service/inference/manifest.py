"""What a model says of itself, in `manifest.json` beside its SavedModel.

Written by training, read by serving: the one document they share. Knows neither TensorFlow nor
how clips are made.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.inference.errors import InvalidModel
from service.video.clip import ClipSpec
from service.video.quality import PictureEnvelope

MANIFEST_NAME = "manifest.json"
CARD_NAME = "MODEL_CARD.md"
CARD_JSON_NAME = "MODEL_CARD.json"
_IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GoldenClip(_Part):
    """A short video kept beside the model, and the answer the model gave when it was exported.

    `frames_sha256` is the digest of the decoded clip's `frames` bytes; `probabilities` float [K]
    and `attention` float [T] are what the exported graph answered for it.
    """

    path: str
    frames_sha256: str
    probabilities: tuple[float, ...]
    attention: tuple[float, ...]
    times_seconds: tuple[float, ...]


class ConformalSets(_Part):
    """Which labels belong to the set that holds the true one in a share `coverage` of the videos.

    Every label of at least `least_probability`, and the likeliest one in any case.
    """

    coverage: float = Field(gt=0, lt=1)
    least_probability: float = Field(ge=0, le=1)

    def holds(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which labels are in the set of each video, bool [..., K], by its probabilities [..., K]."""
        is_likeliest: NDArray[np.bool_] = np.arange(probabilities.shape[-1]) == probabilities.argmax(-1, keepdims=True)
        return (probabilities >= self.least_probability) | is_likeliest


class Manifest(_Part):
    """Everything serving must know to ask the model rightly and to check that it is the one meant."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=_IDENTIFIER)
    version: str = Field(pattern=r"^[0-9]{1,9}$")
    description: str
    created_at: str
    labels: tuple[str, ...] = Field(min_length=2)
    clip: ClipSpec
    combine: Literal["mean", "max"] = "mean"
    """How the clips of a long video become one answer; see `combine_clips`."""
    temperature: float = Field(default=1.0, gt=0)
    """Already divided out inside the graph; kept here for the record."""
    abstention_threshold: float = Field(default=0.0, ge=0, le=1)
    """Below this top probability the service says that it does not know."""
    head: Literal["softmax", "sigmoid", "multi_label"] | None = None
    """What the probabilities mean; None is `softmax`, as in manifests that do not say. `softmax` and `sigmoid`
    (of two labels) say one label of all, and sum to 1; with `multi_label` each label stands for itself."""
    label_thresholds: tuple[float, ...] | None = None
    """With `multi_label`: from which probability each label is accepted, in place of `abstention_threshold`."""
    num_frames_per_step: int | None = Field(default=None, ge=2)
    """How many frames in a row share one step of the network, and so the attention it gives; None is 1."""
    conformal: ConformalSets | None = None
    """How label sets are made; None where the model has none to answer."""
    attention_is_explanation: bool | None = None
    """Whether frames of high attention were measured to decide the answer more than frames taken at random;
    None where that was not measured, or cannot be told from the data there is."""
    picture_envelope: PictureEnvelope | None = None
    """What the training clips looked like; None where that was not recorded."""
    golden_tolerance: float = Field(default=1e-3, gt=0)
    """Largest allowed difference to a golden answer; kernels differ between kinds of CPU."""
    golden: tuple[GoldenClip, ...] = Field(min_length=1)
    metrics: dict[str, Any]
    training: dict[str, Any]
    files: dict[str, str]
    """Path relative to the model's directory -> sha256 of the file, for every file but this one."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels repeat")
        if self.label_thresholds is not None and (
            self.head != "multi_label" or len(self.label_thresholds) != len(self.labels)
        ):
            raise ValueError("label_thresholds are for multi_label, one for each label")
        if self.head == "sigmoid" and len(self.labels) != 2:  # noqa: PLR2004 - it says yes or no
            raise ValueError("a sigmoid head has two labels")
        if self.head == "multi_label" and self.conformal is not None:
            raise ValueError("label sets are for models that say one label of all")
        if self.clip.num_frames % (self.num_frames_per_step or 1):
            raise ValueError("num_frames_per_step does not divide the clip's frames")
        for golden in self.golden:
            if golden.path not in self.files:
                raise ValueError(f"golden clip {golden.path} has no digest")
            if len(golden.probabilities) != len(self.labels):
                raise ValueError(f"golden clip {golden.path} does not have one probability per label")
            if not len(golden.attention) == len(golden.times_seconds) == self.clip.num_frames:
                raise ValueError(f"golden clip {golden.path} does not have one attention and time per frame")
        return self

    @property
    def sums_to_one(self) -> bool:
        """Whether the probabilities are those of one label of all."""
        return self.head != "multi_label"

    def accepts(self, probabilities: NDArray[np.float64], threshold: float | None = None) -> NDArray[np.bool_]:
        """Which labels the model stands by, bool [K], by a video's probabilities [K].

        Those that reach their threshold; where one label of all is answered, no other than the likeliest.
        `threshold` takes the place of the model's own.
        """
        own = self.abstention_threshold if self.label_thresholds is None else np.array(self.label_thresholds)
        reaches: NDArray[np.bool_] = probabilities >= (own if threshold is None else threshold)
        return reaches & (np.arange(len(probabilities)) == probabilities.argmax()) if self.sums_to_one else reaches

    def to_json(self) -> str:
        """The text of `manifest.json`; the same manifest always gives the same text.

        A field that is None is left out, so a new one does not change the digest of models without it.
        """
        return json.dumps(self.model_dump(mode="json", exclude_none=True), indent=2, sort_keys=True) + "\n"

    @property
    def digest(self) -> str:
        """`sha256:...` of the manifest, and through `files` of every byte of the model."""
        return "sha256:" + hashlib.sha256(self.to_json().encode()).hexdigest()


def combine_clips(
    clip_probabilities: NDArray[np.float32], how: Literal["mean", "max"], *, sums_to_one: bool = True
) -> NDArray[np.float64]:
    """The video's probabilities float64 [K] from its clips' [N, K], N >= 1.

    `mean` averages. `max` takes, per label, the clip surest of it, then scales the sum back to 1 where
    the clips' sum to one: a label is as likely as its best moment, which is what detecting a short event
    asks for.
    """
    wide: NDArray[np.float64] = clip_probabilities.astype(np.float64)
    if how == "mean":
        mean: NDArray[np.float64] = wide.mean(axis=0)
        return mean
    peaks: NDArray[np.float64] = wide.max(axis=0)
    if sums_to_one:
        peaks /= peaks.sum()
    return peaks


def file_digests(directory: Path) -> dict[str, str]:
    """sha256 of every file under `directory` but the manifest, by path relative to it."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME
    }


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the model in `directory`, its shape checked; the files are not.

    Raises:
        InvalidModel: missing, not JSON, or not the manifest of a model.
    """
    try:
        return Manifest.model_validate_json((directory / MANIFEST_NAME).read_bytes())
    except OSError as error:
        raise InvalidModel(f"{directory}: no readable {MANIFEST_NAME}: {error.strerror}") from error
    except ValidationError as error:
        raise InvalidModel(f"{directory}/{MANIFEST_NAME}: {error}") from error


def verify_files(directory: Path, manifest: Manifest) -> None:
    """Prove that the model in `directory` is the one its manifest describes.

    Raises:
        InvalidModel: a file is missing, was altered, or is not listed.
    """
    found = file_digests(directory)
    differing: Sequence[str] = sorted(
        path for path in found.keys() | manifest.files.keys() if found.get(path) != manifest.files.get(path)
    )
    if differing:
        raise InvalidModel(f"{directory}: altered, missing or unlisted files: {', '.join(differing)}")
