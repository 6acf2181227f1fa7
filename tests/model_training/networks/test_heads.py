"""Networks handle time and padding correctly, before and after export."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from model_training.config import Architecture, BackboneName, HeadConfig, TrainConfig
from service.video.clip import ClipSpec
from tests.support.training.full_disk import full_disk
from tests.support.training.small_config import small_config

pytestmark = pytest.mark.tensorflow

SPEC = ClipSpec(num_frames=6, height=32, width=32, frames_per_second=4, stride_seconds=1)
HEAD = HeadConfig(feature_width=12, lstm_units=6, attention_width=6)


def _clips(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    frames = np.random.default_rng(seed).integers(0, 256, (4, 6, 32, 32, 3), dtype=np.uint8)
    return frames, np.arange(6) < np.array([[6], [3], [1], [5]])


def _config(architecture: Architecture, **changes: object) -> TrainConfig:
    return small_config(**{"architecture": architecture, "clip": SPEC, "head": HEAD, **changes})


def _network(architecture: Architecture, head: HeadConfig = HEAD, num_labels: int = 3, **changes: object) -> Any:
    import keras

    from model_training.networks.network import build_network

    keras.utils.set_random_seed(1)
    return build_network(_config(architecture, head=head, **changes), num_labels, is_pretrained=False)


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_attention_sums_to_1_over_valid_frames_and_is_0_elsewhere(architecture: Architecture) -> None:
    frames, valid = _clips(0)
    attention = np.array(_network(architecture)(frames, valid)[1])
    np.testing.assert_allclose(attention.sum(axis=1), 1, atol=1e-6)
    assert (attention[~valid] == 0).all()
    assert (attention[valid] > 0).all()


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_invalid_frames_do_not_change_the_output(architecture: Architecture) -> None:
    frames, valid = _clips(0)
    other = np.where(valid[:, :, None, None, None], frames, _clips(1)[0])
    network = _network(architecture)
    for before, after in zip(network(frames, valid), network(other, valid), strict=True):
        np.testing.assert_array_equal(np.array(before), np.array(after))


def test_first_frame_and_frame_after_padding_have_no_motion() -> None:
    frames, _ = _clips(0)
    valid = np.array([[True, True, False, True, True, True]] * 4)
    network = _network("cnn")
    features = np.array(network.features([frames, valid]))
    channels = [maps.shape[-1] for maps in network.backbone.outputs]
    is_motion = np.concatenate(
        [[False] * channels[0], [True] * channels[0], [False] * channels[1], [True] * channels[1]]
    )
    has_motion = features[:, :, is_motion].any(axis=2)
    np.testing.assert_array_equal(has_motion, [[False, True, False, False, True, True]] * 4)


@pytest.mark.parametrize(
    ("head", "width"),
    [
        (HeadConfig(sees_appearance=False), 80),
        (HeadConfig(sees_motion=False), 80),
        (HeadConfig(), 160),
    ],
)
def test_config_selects_appearance_and_motion_features(head: HeadConfig, width: int) -> None:
    assert _network("cnn", head).features.output_shape == (None, 6, width)


def test_difference_input_of_a_still_clip_is_constant() -> None:
    frames, valid = np.repeat(_clips(0)[0][:, :1], 6, axis=1), np.ones((4, 6), bool)
    still = np.array(_network("cnn", input="differences").features([frames, valid]))
    np.testing.assert_array_equal(still, np.broadcast_to(still[:1, :1], still.shape))
    assert np.array(_network("cnn").features([frames, valid]))[0, 0].std() > 0


def test_time_statistics_equal_numpy() -> None:
    from model_training.networks.temporal import time_statistics

    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    valid = np.array([[True] * 5, [True, True, True, False, False]])
    found = np.array(time_statistics(x, valid))
    for row, kept in zip(found, (x[0], x[1, :3]), strict=True):
        expected = [kept.mean(axis=0), kept.std(axis=0), np.abs(np.diff(kept, axis=0)).mean(axis=0)]
        np.testing.assert_allclose(row, np.concatenate(expected), atol=1e-5)


def test_statistics_ignore_padding() -> None:
    frames, valid = _clips(0)
    other = np.where(valid[:, :, None, None, None], frames, _clips(1)[0])
    network = _network("cnn_bilstm_attention", HEAD.model_copy(update={"sees_statistics": True}))
    np.testing.assert_array_equal(np.array(network(frames, valid)[0]), np.array(network(other, valid)[0]))


def test_sigmoid_head_gives_complementary_probabilities() -> None:
    from model_training.networks.network import probabilities_of

    frames, valid = _clips(0)
    network = _network("cnn", HEAD.model_copy(update={"kind": "sigmoid"}), num_labels=2)
    logits = np.array(network(frames, valid)[0])
    assert (logits[:, 0] == 0).all()
    sigmoid = 1 / (1 + np.exp(-logits[:, 1]))
    np.testing.assert_allclose(np.array(probabilities_of(logits, "sigmoid")), np.c_[1 - sigmoid, sigmoid], atol=1e-6)


def test_multi_label_probabilities_are_independent() -> None:
    from model_training.networks.network import probabilities_of

    logits = np.array([[2.0, -1.0, 0.5]], np.float32)
    np.testing.assert_allclose(np.array(probabilities_of(logits, "multi_label")), 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_invalid_frame_repeats_the_last_valid_frame() -> None:
    from model_training.networks.temporal import repeat_last_valid

    frames = np.arange(10, dtype=np.uint8).reshape(2, 5, 1, 1, 1)
    valid = np.array([[True, True, False, True, False], [False, True, True, False, False]])
    repeated = np.array(repeat_last_valid(frames, valid)).reshape(2, 5)
    np.testing.assert_array_equal(repeated, [[0, 1, 1, 3, 3], [6, 6, 7, 7, 7]])


def test_attention_of_a_step_is_split_among_its_valid_frames() -> None:
    from model_training.networks.temporal import spread_over_frames, valid_steps_of

    valid = np.arange(8) < np.array([[8], [5], [3]])
    steps = np.array(valid_steps_of(valid, 2))
    np.testing.assert_array_equal(steps, [[True, True], [True, True], [True, False]])
    attention = np.array([[0.4, 0.6], [0.2, 0.8], [1.0, 0.0]], np.float32)
    shared = np.array(spread_over_frames(attention, valid))
    np.testing.assert_allclose(shared[0], [0.1] * 4 + [0.15] * 4, atol=1e-7)
    np.testing.assert_allclose(shared[1], [0.05] * 4 + [0.8, 0, 0, 0], atol=1e-7)
    assert (shared[~valid] == 0).all()


def test_temporal_backbone_gives_frames_the_attention_of_their_step() -> None:
    spec = SPEC.model_copy(update={"num_frames": 16})
    network = _network("cnn_bilstm_attention", backbone="i3d", clip=spec)
    random = np.random.default_rng(0)
    frames, other = (random.integers(0, 256, (2, 16, 32, 32, 3), dtype=np.uint8) for _ in range(2))
    valid = np.arange(16) < np.array([[16], [11]])
    logits, attention = (np.array(part) for part in network(frames, valid))
    assert (attention[~valid] == 0).all()
    np.testing.assert_allclose(attention.sum(axis=1), 1, atol=1e-6)
    assert len(np.unique(attention[0])) == 2
    assert len(np.unique(attention[1, :11])) == 2
    padded_otherwise = np.where(valid[:, :, None, None, None], frames, other)
    np.testing.assert_array_equal(np.array(network(padded_otherwise, valid)[0]), logits)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backbone": "i3d", "clip": SPEC}, "multiple of 8 frames"),
        ({"backbone": "i3d", "clip": SPEC.model_copy(update={"num_frames": 8}), "input": "differences"}, "not differ"),
        ({"head": {"sees_appearance": False, "sees_motion": False}}, "the head has no features left"),
    ],
)
def test_inconsistent_config_is_rejected(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        small_config(**changes)


def test_frame_order_changes_the_bilstm_but_not_the_mean() -> None:
    features = np.random.default_rng(3).normal(size=(4, 6, 160)).astype(np.float32)
    valid = np.ones((4, 6), bool)
    cases: list[tuple[Architecture, bool]] = [("cnn", True), ("cnn_bilstm", False), ("cnn_bilstm_attention", False)]
    for architecture, is_order_blind in cases:
        head = _network(architecture).head
        forward, backward = (np.array(head([x, valid])[0]) for x in (features, features[:, ::-1]))
        assert np.allclose(forward, backward, atol=1e-5) == is_order_blind


def test_exported_model_gives_a_clip_the_same_output_in_every_batch(tmp_path: Path) -> None:
    from model_training.evaluation.exported_model import ExportedModel
    from model_training.export.saved_model import save_graph

    save_graph(_network("cnn_bilstm_attention"), _config("cnn_bilstm_attention"), 1.5, tmp_path)
    model = ExportedModel(tmp_path)
    frames, valid = _clips(0)
    whole = model.predict_clips(frames, valid)
    np.testing.assert_allclose(whole[0].sum(axis=1), 1, atol=1e-6)
    for size in (1, 2, 3):
        for start in range(4 - size + 1):
            part = model.predict_clips(frames[start : start + size], valid[start : start + size])
            for rows, all_rows in zip(part, whole, strict=True):
                np.testing.assert_array_equal(rows, all_rows[start : start + size])


def test_exported_model_equals_the_network(tmp_path: Path) -> None:
    from model_training.evaluation.exported_model import ExportedModel
    from model_training.export.saved_model import save_graph

    network = _network("cnn_bilstm_attention")
    save_graph(network, _config("cnn_bilstm_attention"), 2.0, tmp_path)
    frames, valid = _clips(0)
    logits, attention = (np.array(part) for part in network(frames, valid))
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True)
    probabilities, exported_attention = ExportedModel(tmp_path).predict_clips(frames, valid)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(exported_attention, attention, atol=1e-6)


def test_float16_storage_halves_the_files_and_hardly_changes_the_output(tmp_path: Path) -> None:
    from model_training.evaluation.exported_model import ExportedModel
    from model_training.export.saved_model import save_graph
    from model_training.networks.batch_norm_folding import fold_batch_norm

    network = _network("cnn_bilstm_attention")
    frames, valid = _clips(0)
    outputs, sizes = [], []
    for precision in ("float32", "float16"):
        directory = tmp_path / precision
        save_graph(network, _config("cnn_bilstm_attention", stored_precision=precision), 1.0, directory)
        outputs.append(ExportedModel(directory).predict_clips(frames, valid))
        sizes.append(sum(path.stat().st_size for path in (directory / "variables").iterdir()))
    exported = fold_batch_norm(network, _config("cnn_bilstm_attention"))
    num_numbers = sum(int(np.prod(variable.shape)) for variable in exported.variables)
    assert sizes[0] - sizes[1] == pytest.approx(2 * num_numbers, rel=0.02)
    for full, half in zip(*outputs, strict=True):
        np.testing.assert_allclose(half, full, atol=5e-3)
        assert not np.array_equal(half, full)


@pytest.mark.parametrize("backbone", get_args(BackboneName))
def test_folded_batch_norm_gives_the_same_features(backbone: BackboneName) -> None:
    import keras

    from model_training.networks.batch_norm_folding import fold_batch_norm

    clip = ClipSpec(num_frames=8, height=32, width=32, frames_per_second=4, stride_seconds=1)
    network = _network("cnn", backbone=backbone, clip=clip)
    draw = np.random.default_rng(3)
    for variable in network.backbone.variables:
        if variable.path.split("/")[-2].endswith("_bn"):
            # Random values: after training all statistics, scales and shifts differ from their defaults.
            variable.assign(draw.uniform(0.5, 1.5, variable.shape))
    plain = fold_batch_norm(network, _config("cnn", backbone=backbone, clip=clip))
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in plain.backbone.layers)
    frames, valid = draw.integers(0, 256, (2, 8, 32, 32, 3), dtype=np.uint8), np.ones((2, 8), bool)
    before, after = (np.asarray(one.features([frames, valid])) for one in (network, plain))
    assert before.std() > 0
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-4 * np.abs(before).max())


def test_saved_files_contain_no_path_of_this_machine(tmp_path: Path) -> None:
    from model_training.export.saved_model import save_graph

    save_graph(_network("cnn"), _config("cnn"), 1.0, tmp_path)
    here = str(Path(__file__).parents[3]).encode()
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or here not in path.read_bytes()
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_full_disk_during_save_is_an_os_error_that_names_the_folder(tmp_path: Path) -> None:
    from model_training.export.saved_model import save_graph

    network = _network("cnn")
    with full_disk(4096), pytest.raises(OSError, match="File too large") as caught:
        save_graph(network, _config("cnn"), 1.0, tmp_path)
    assert caught.value.filename == str(tmp_path)
    assert "\n" not in (caught.value.strerror or "")
