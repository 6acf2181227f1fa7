"""Checks of labels against the head before decoding; the videos do not exist."""

from pathlib import Path

import pytest

from model_training.config import HeadConfig
from model_training.datasets.examples import Example
from model_training.datasets.preparation import prepare_data
from model_training.errors import TrainingDataError
from model_training.progress import RunProgress
from tests.support.training.small_config import small_config


def test_sigmoid_head_rejects_three_labels_before_decoding(tmp_path: Path) -> None:
    examples = [Example(tmp_path / f"{n}.mp4", ("abc"[n % 3],), str(n)) for n in range(12)]
    config = small_config(head=HeadConfig(kind="sigmoid"))
    with (
        RunProgress() as display,
        pytest.raises(TrainingDataError, match=r'^head\.kind="sigmoid" needs two labels, .* have 3: a, b, c$'),
    ):
        prepare_data(config, examples, tmp_path / "cache", display, skip_unreadable=False, allow_leakage=False)
    assert not (tmp_path / "cache").exists()
