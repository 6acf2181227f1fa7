"""The motion crop: its position, its scaling, and its equality in training and serving."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from model_training.config import MotionCropConfig
from service.inference.manifest import Manifest
from service.video.clip import ClipSpec
from tests.model_training.conftest import QUICK_CONFIG
from tests.support.training.commands import places, run
from tests.support.training.small_config import small_config

pytestmark = pytest.mark.tensorflow

HEIGHT, WIDTH, NUM_FRAMES = 96, 160, 6
CROP = MotionCropConfig(size=48)
SPEC = ClipSpec(num_frames=NUM_FRAMES, height=HEIGHT, width=WIDTH, frames_per_second=4, stride_seconds=1)


def _still() -> NDArray[np.uint8]:
    """A still clip whose red is the column and whose green is the row, so the colours of a crop reveal its position."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[..., 0] = np.arange(WIDTH)
    picture[..., 1] = np.arange(HEIGHT)[:, None]
    return np.repeat(picture[None], NUM_FRAMES, axis=0)


def _with_movement(top: int, left: int, *, reach: int = 12) -> NDArray[np.uint8]:
    """The still clip with a blue bar that moves inside a square of `reach` pixels."""
    frames = _still()
    for index, frame in enumerate(frames):
        start = left + index * (reach - 6) // (NUM_FRAMES - 1)
        frame[top : top + reach, start : start + 6, 2] = 255
    return frames


def _cropped(frames: NDArray[np.uint8], config: MotionCropConfig = CROP) -> NDArray[np.float32]:
    from model_training.networks.motion_crop import motion_crop

    cropped: NDArray[np.float32] = np.asarray(motion_crop(frames[None], config))[0]
    return cropped


def _extent(crop: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """First and last row, first and last column of a crop of `_still`."""
    return crop[..., 1].min(), crop[..., 1].max(), crop[..., 0].min(), crop[..., 0].max()


@pytest.mark.parametrize(("top", "left"), [(4, 6), (70, 130), (40, 70), (82, 2)])
def test_moving_region_is_cropped_and_enlarged(top: int, left: int) -> None:
    first_row, last_row, first_column, last_column = _extent(_cropped(_with_movement(top, left)))
    assert first_row <= top
    assert last_row >= top + 11
    assert first_column <= left
    assert last_column >= left + 11
    # The smallest square is 0.3 of the shorter side.
    assert last_row - first_row == pytest.approx(0.3 * HEIGHT, abs=2)
    assert last_column - first_column == pytest.approx(0.3 * HEIGHT, abs=2)


def test_square_grows_until_it_holds_the_fraction_of_motion() -> None:
    frames = _with_movement(10, 40)
    frames[..., 2] = np.maximum(frames[..., 2], _with_movement(60, 80)[..., 2])
    first_row, last_row, first_column, last_column = _extent(
        _cropped(frames, CROP.model_copy(update={"movement_fraction": 0.95}))
    )
    assert first_row <= 11
    assert last_row >= 70
    assert first_column <= 41
    assert last_column >= 90
    # The smallest square holds half of the motion.
    first_row, last_row, _, _ = _extent(_cropped(frames, CROP.model_copy(update={"movement_fraction": 0.4})))
    assert last_row - first_row == pytest.approx(0.3 * HEIGHT, abs=2)


def test_still_clip_is_cropped_in_the_middle() -> None:
    first_row, last_row, first_column, last_column = _extent(_cropped(_still()))
    assert first_row + last_row == pytest.approx(HEIGHT - 1, abs=2)
    assert first_column + last_column == pytest.approx(WIDTH - 1, abs=2)


def test_camera_shake_does_not_hide_motion() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (HEIGHT + 8, WIDTH + 8, 3), np.uint8)
    scene = cv2.GaussianBlur(noise, (0, 0), 2).astype(np.uint8)
    frames = np.stack([scene[dy : dy + HEIGHT, dx : dx + WIDTH] for dy, dx in rng.integers(0, 8, (NUM_FRAMES, 2))])
    person = frames.copy()
    person[::2, 60:84, 120:144] = 255
    crop = _cropped(person)
    # The white region fills most of the square in every second frame.
    assert (crop[::2] > 250).mean() > 0.4
    assert (crop[1::2] > 250).mean() < 0.01


def test_flash_of_the_whole_picture_is_not_motion() -> None:
    frames = _with_movement(70, 130)
    frames[3] = np.minimum(frames[3].astype(int) + 60, 255).astype(np.uint8)
    first_row, last_row, first_column, last_column = _extent(_cropped(frames)[[0, 1, 2, 4, 5]])
    assert first_row <= 70
    assert last_row >= 81
    assert first_column <= 130
    assert last_column >= 141


@pytest.mark.parametrize("size", [48, 96, 192])
def test_whole_picture_is_scaled_like_pillow(size: int) -> None:
    """Pillow's bilinear filter also widens when it reduces a picture."""
    from PIL import Image

    scene = np.random.default_rng(0).integers(0, 256, (HEIGHT, HEIGHT, 3), np.uint8)
    crop = _cropped(np.repeat(scene[None], 2, axis=0), MotionCropConfig(size=size, min_side=1))
    expected = np.asarray(Image.fromarray(scene).resize((size, size), Image.Resampling.BILINEAR), np.float32)
    np.testing.assert_allclose(crop[0], expected, atol=1.5)
    np.testing.assert_array_equal(crop[0], crop[1])


@pytest.mark.parametrize("backbone", ["tiny", "i3d"])
def test_padding_does_not_change_the_output(backbone: str) -> None:
    import keras

    from model_training.networks.network import build_network

    spec = SPEC.model_copy(update={"num_frames": 16})
    keras.utils.set_random_seed(1)
    config = small_config(backbone=backbone, clip=spec, motion_crop=MotionCropConfig(size=32))
    network = build_network(config, 2, is_pretrained=False)
    frames = np.random.default_rng(0).integers(0, 256, (2, 16, HEIGHT, WIDTH, 3), np.uint8)
    valid = np.arange(16) < np.array([[16], [3]])
    other = np.where(valid[:, :, None, None, None], frames, 255 - frames)
    for before, after in zip(network(frames, valid), network(other, valid), strict=True):
        np.testing.assert_array_equal(np.array(before), np.array(after))


@pytest.mark.parametrize("backend", ["tensorflow", "openvino"])
def test_exported_model_crops_the_same_square(backend: str, tmp_path: Path) -> None:
    """The model sees only the brightness inside the square, so its output depends on the position of the square."""
    import keras

    from model_training.export.saved_model import save_graph
    from model_training.networks.network import build_network

    keras.utils.set_random_seed(1)
    config = small_config(clip=SPEC, motion_crop=MotionCropConfig(size=32))
    network = build_network(config, 2, is_pretrained=False)
    save_graph(network, config, 1.0, tmp_path)
    frames = np.stack([_with_movement(70, 130), _with_movement(4, 6), _still()])
    valid = np.ones((3, NUM_FRAMES), bool)
    expected = keras.ops.softmax(network(frames, valid)[0])
    answered, _ = _engine(backend, tmp_path).run(frames, valid)
    np.testing.assert_allclose(answered, np.array(expected), atol=2e-5)
    assert np.abs(np.diff(answered[:, 0])).min() > 1e-4


def _engine(backend: str, directory: Path) -> Any:
    manifest = Manifest.model_construct(clip=SPEC, labels=("a", "b"))
    if backend == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is not installed")
        from service.inference.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(directory, manifest, num_threads=1)
    from service.inference.tensorflow_engine import SavedModelEngine

    return SavedModelEngine(directory, manifest)


def test_card_of_a_model_with_motion_crop_mentions_it(painted_dataset: Path, tmp_path: Path) -> None:
    crop = "\nCONFIG = CONFIG.model_copy(update={'motion_crop': MotionCropConfig(size=32)})\n"
    words = f"from model_training.config import MotionCropConfig\n{QUICK_CONFIG}{crop}"
    (tmp_path / "tiny.py").write_text(words)
    done = run("train", "--config", tmp_path / "tiny.py", "--data", painted_dataset, *places(tmp_path))
    assert done.returncode == 0, done.stderr
    card = (tmp_path / "models" / "tiny" / "1" / "MODEL_CARD.md").read_text()
    assert "on the square with the most movement, 32x32" in card
    assert '"motion_crop": {' in (tmp_path / "models" / "tiny" / "1" / "manifest.json").read_text()


@pytest.mark.parametrize(
    ("changes", "words"), [({"size": 8}, "size"), ({"min_side": 0}, "min_side"), ({"movement_fraction": 2}, "movement")]
)
def test_invalid_motion_crop_is_rejected(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        MotionCropConfig(**{"size": 48, **changes})


def test_motion_crop_of_a_single_frame_is_rejected() -> None:
    with pytest.raises(ValidationError, match="two frames or more"):
        small_config(clip=SPEC.model_copy(update={"num_frames": 1}), motion_crop=CROP)


@pytest.mark.parametrize("num_cells", [1, 2, 7, 200])
def test_median_is_the_upper_median(num_cells: int) -> None:
    from model_training.networks.motion_crop import median

    grey_levels = np.random.default_rng(num_cells).uniform(0, 255, (2, 3, num_cells)).astype(np.float32)
    grey_levels[1, 2] = 0
    expected = np.sort(grey_levels, axis=-1)[..., num_cells // 2]
    np.testing.assert_allclose(np.asarray(median(grey_levels)), expected, atol=1e-4)
