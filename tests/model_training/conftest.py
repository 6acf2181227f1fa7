"""Painted datasets and a config small enough to train in seconds."""

import shutil
from pathlib import Path

import pytest

from model_training.synthetic.render import synthesise_dataset
from tests.support.made_once import made_once
from tests.support.training.commands import places, run

TINY_CONFIG = """
from model_training.config import AugmentConfig, HeadConfig, LossConfig, OptimiserConfig, StageConfig, TrainConfig
from service.video.clip import ClipSpec

CONFIG = TrainConfig(
    name="tiny", description="A test.", data_source="painted", data_licence="none needed", command="a test",
    hardware="any", expected_result="none", intended_use="tests", refused_use="all else", limits="knows nothing",
    clip=ClipSpec(num_frames=8, height=32, width=32, frames_per_second=2, stride_seconds=2), combine="max",
    backbone="tiny", head=HeadConfig(feature_width=12, lstm_units=6, attention_width=6),
    augment=AugmentConfig(max_dropped_frames=1), loss=LossConfig(attention_weight=0.3),
    optimiser=OptimiserConfig(),
    stages=(
        StageConfig(name="all", num_epochs=2, learning_rate=1e-3, backbone="all", batch_norm="updated"),
    ),
    batch_size=3, seed=1, held_out_fold=1, validation_fraction=0.3,
)
"""

QUICK_CONFIG = TINY_CONFIG.replace('backbone="tiny",', 'backbone="tiny", architecture="cnn",', 1)
"""The same with the mean over frames, the architecture that is fastest to compile."""


@pytest.fixture(scope="session")
def painted_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 15 painted videos, three of each label, with their manifest. Do not change it."""
    return made_once(
        tmp_path_factory, "painted", lambda directory: synthesise_dataset(directory, num_videos=15, seed=3)
    )


@pytest.fixture(scope="session")
def trained(painted_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder in which the tiny config was trained, without interruption. Do not change what it holds."""

    def train(work: Path) -> None:
        (work / "tiny.py").write_text(TINY_CONFIG)
        done = run("train", "--config", work / "tiny.py", "--data", painted_dataset, *places(work))
        assert done.returncode == 0, done.stderr
        assert "accuracy" in done.stdout

    # Tests add versions to it, so each process has a copy.
    made = made_once(tmp_path_factory, "trained", train)
    return Path(shutil.copytree(made, tmp_path_factory.mktemp("trained") / "work"))


@pytest.fixture
def tiny_config(tmp_path: Path) -> Path:
    """A config file whose run takes seconds."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY_CONFIG)
    return path
