"""Both engines on real SavedModels."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.batch_sizes import verified_batch_sizes
from service.inference.engine import Engine, EngineName, LoadEngine
from service.inference.engines import import_engine
from service.inference.errors import InvalidModel
from service.inference.manifest import read_manifest
from service.inference.stored_model import find_models
from tests.support.grey_model import SPEC

pytestmark = pytest.mark.tensorflow

MODELS_DIR = Path(__file__).parents[2] / "models"
CLIP_SHAPE = (SPEC.num_frames, SPEC.height, SPEC.width, 3)
ENGINES: tuple[EngineName, ...] = ("tensorflow", "openvino")


def loader_of(name: EngineName) -> LoadEngine:
    """The function that loads a model into the named engine."""
    if name == "openvino":
        return import_engine(name, 2).load
    # TensorFlow's threads cannot be configured any more: this process has already used it to export models.
    from service.inference.tensorflow_engine import SavedModelEngine  # noqa: PLC0415 - loads TensorFlow

    return SavedModelEngine


@pytest.fixture(scope="module", params=ENGINES)
def load_engine(request: pytest.FixtureRequest) -> LoadEngine:
    """The loading function of one engine, then of the other."""
    return loader_of(request.param)


def load_grey(load_engine: LoadEngine, grey_models_dir: Path) -> Engine:
    """The grey model in an engine."""
    directory = grey_models_dir / "grey" / "1"
    return load_engine(directory, read_manifest(directory))


def test_a_batch_gives_the_outputs_of_the_model(load_engine: LoadEngine, grey_models_dir: Path) -> None:
    engine = load_grey(load_engine, grey_models_dir)
    frames = np.zeros((2, *CLIP_SHAPE), dtype=np.uint8)
    frames[0], frames[1, :2], frames[1, 2:] = 51, 51, 255
    valid = np.ones((2, SPEC.num_frames), dtype=np.bool_)
    valid[1, 2:] = False
    probabilities, attention = engine.run(frames, valid)
    assert probabilities == pytest.approx(np.array([[0.8, 0.2], [0.8, 0.2]]), abs=1e-6)
    assert attention[0] == pytest.approx(np.full(8, 1 / 8))
    assert attention[1].tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0]
    assert (probabilities.dtype, attention.dtype) == (np.dtype(np.float32), np.dtype(np.float32))
    assert verified_batch_sizes(engine.run, CLIP_SHAPE, [1, 2, 4]) == [1, 2, 4]


def test_outputs_stay_valid_after_the_next_call(load_engine: LoadEngine, grey_models_dir: Path) -> None:
    engine = load_grey(load_engine, grey_models_dir)
    valid = np.ones((1, SPEC.num_frames), dtype=np.bool_)
    probabilities, _ = engine.run(np.full((1, *CLIP_SHAPE), 51, dtype=np.uint8), valid)
    engine.run(np.full((1, *CLIP_SHAPE), 204, dtype=np.uint8), valid)
    assert probabilities == pytest.approx(np.array([[0.8, 0.2]]), abs=1e-6)


@pytest.mark.parametrize("directory", find_models(MODELS_DIR), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_both_engines_agree_on_the_shipped_models(directory: Path) -> None:
    manifest = read_manifest(directory)
    clip = manifest.clip
    random = np.random.default_rng(1)
    # Smooth and moving, as videos are: on noise every model predicts the same.
    coarse = random.integers(0, 256, (2, clip.num_frames, 4, 4, 3), dtype=np.uint8)
    frames = coarse.repeat(-(-clip.height // 4), axis=2).repeat(-(-clip.width // 4), axis=3)
    frames = np.ascontiguousarray(frames[:, :, : clip.height, : clip.width])
    valid = np.ones((2, clip.num_frames), dtype=np.bool_)
    valid[1, clip.num_frames // 2 :] = False
    outputs = [np.concatenate(loader_of(name)(directory, manifest).run(frames, valid), axis=1) for name in ENGINES]
    assert outputs[1] == pytest.approx(outputs[0], abs=1e-4)
    assert not np.allclose(outputs[0][0], outputs[0][1], atol=1e-3)


def test_a_batch_size_with_other_bits_is_not_verified() -> None:
    def size_dependent(
        frames: NDArray[np.uint8], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A model whose output depends on the batch size."""
        bright = np.full((len(frames), 1), 0.3 if len(frames) <= 2 else 0.3000001, dtype=np.float32)
        return np.concatenate([1 - bright, bright], axis=1), valid.astype(np.float32)

    assert verified_batch_sizes(size_dependent, CLIP_SHAPE, [1, 2, 4]) == [1, 2]


def test_a_batch_size_whose_last_row_depends_on_its_neighbour_is_not_verified() -> None:
    def leaking(frames: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        mean = frames.mean(axis=(1, 2, 3, 4), dtype=np.float64).astype(np.float32)
        if len(frames) > 2:
            mean[-1] = mean[-2]
        return np.stack([mean, -mean], axis=1), valid.astype(np.float32)

    assert verified_batch_sizes(leaking, CLIP_SHAPE, [4, 2, 1]) == [1, 2]


def test_a_directory_without_the_expected_signature_is_invalid(
    load_engine: LoadEngine, tmp_path: Path, grey_models_dir: Path
) -> None:
    source = grey_models_dir / "grey" / "1"
    manifest = read_manifest(source)
    with pytest.raises(InvalidModel, match="not a SavedModel"):
        load_engine(tmp_path / "absent", manifest)
    shutil.copytree(source, tmp_path / "broken")
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(InvalidModel, match="not a SavedModel"):
        load_engine(tmp_path / "broken", manifest)
    other = manifest.model_copy(update={"clip": manifest.clip.model_copy(update={"num_frames": 9})})
    with pytest.raises(InvalidModel, match="inputs"):
        load_engine(source, other)


def test_an_inconsistent_manifest_is_invalid(tmp_path: Path, grey_models_dir: Path) -> None:
    shutil.copytree(grey_models_dir / "grey" / "1", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "manifest.json"
    original = json.loads(path.read_text())
    for changes, why in (
        ({"labels": ["same", "same"]}, "labels must be unique"),
        ({"labels": ["a", "b", "c"]}, "one probability per label"),
        ({"files": {}}, "has no digest"),
        ({"unknown": 1}, "Extra inputs"),
        ({"clip": {**original["clip"], "num_frames": 0}}, "greater than or equal to 1"),
    ):
        path.write_text(json.dumps(original | changes))
        with pytest.raises(InvalidModel, match=why):
            read_manifest(tmp_path)


def test_tensorflow_has_a_batch_thread_per_thread_and_none_spins() -> None:
    program = (
        "from service.inference.engines import import_engine\n"
        "engine = import_engine('tensorflow', 2)\n"
        "from tensorflow.python.eager import context\n"
        "context.ensure_initialized()\n"
        "settings = context.context().config\n"
        "print(settings.experimental.disable_thread_spinning)\n"
        "print(engine.num_batch_threads)\n"
        "print(settings.intra_op_parallelism_threads, settings.inter_op_parallelism_threads)\n"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["True", "2", "2", "2"]
