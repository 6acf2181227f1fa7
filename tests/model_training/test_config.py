"""Errors in configs name the file, the line and the closest option; descriptive texts do not affect the recipe."""

from pathlib import Path
from typing import Any

import pytest

import model_training.configs
from model_training.config_file import read_config
from model_training.errors import InvalidConfig
from tests.support.training.small_config import small_config

_CONFIGS = Path(model_training.configs.__file__).parent
_IMPORTS = "from model_training.config import AugmentConfig, LossConfig, TrainConfig\n\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "AugmentConfig(max_drop_frames=1)",
            "AugmentConfig.max_drop_frames: there is no such option; did you mean 'max_d",
        ),
        ("LossConfig(\n    gamma=2)", "LossConfig.gamma: there is no such option; did you mean 'focal_gamma'?"),
        ("AugmentConfig(qqq=1)", "AugmentConfig.qqq: there is no such option"),
        ("AugmentConfig(hue=0.7)", "AugmentConfig.hue: Input should be less than or equal to 0.5"),
        ("AugmentConfig.model_validate({'hue': 'red'})", "AugmentConfig.hue: Input should be a valid number"),
        ("TrainConfig(augment={'erasing': 1})", "there is no such option"),
        ("raise ValueError('one\\ntwo')", "ValueError: one two"),
        ("from nowhere import nothing", "ModuleNotFoundError"),
    ],
)
def test_an_invalid_option_is_reported_with_file_and_line(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "run.py"
    path.write_text(_IMPORTS + text + "\n")
    with pytest.raises(InvalidConfig) as caught:
        read_config(path)
    message = str(caught.value)
    if "augment=" not in text:
        assert sentence in message
    assert message.startswith(f"{path}, line 3: ")
    assert "\n" not in message


def test_a_config_that_is_not_python_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "run.py"
    path.write_text("CONFIG = (\n")
    with pytest.raises(InvalidConfig, match=r"run\.py.*SyntaxError.*line 1"):
        read_config(path)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ("CONFIG.model_copy(update={'batchsize': 4})", "TrainConfig.batchsize: there is no such option; did you mean"),
        (
            "CONFIG.model_copy(update={'batch_size': 0})",
            "TrainConfig.batch_size: Input should be greater than or equal",
        ),
        (
            "CONFIG.model_copy(update={'augment': CONFIG.augment.model_copy(update={'hue': 3})})",
            "TrainConfig.augment.hue: Input should be less than or equal to 0.5",
        ),
        ("CONFIG.model_copy(update={'backbone': 'i3d'})", "i3d models motion itself: it takes frames, not differences"),
        ("CONFIG.model_copy(update={'distribution': 'multi_worker'})", "a teacher runs before the workers connect"),
    ],
)
def test_a_copied_config_is_validated(tmp_path: Path, made: str, sentence: str) -> None:
    path = tmp_path / "run.py"
    path.write_text(f"from model_training.configs.fights import CONFIG\n\nCONFIG = {made}\n")
    with pytest.raises(InvalidConfig) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert sentence in str(caught.value)


def test_every_config_that_ships_is_valid_and_names_its_own_file() -> None:
    paths = [path for path in _CONFIGS.glob("*.py") if path.name != "__init__.py"]
    assert len(paths) > 3
    names = [read_config(path).name for path in paths]
    assert len(set(names)) == len(names)
    for path in paths:
        # The template is to be copied and renamed.
        named = "mine.py" if path.name == "template.py" else f"model_training/configs/{path.name}"
        assert f"--config {named} --data DIR" in read_config(path).command


@pytest.mark.parametrize("name", ["description", "data_source", "command", "hardware", "expected_result", "limits"])
def test_descriptive_texts_do_not_change_the_recipe(name: str) -> None:
    assert small_config(**{name: "changed"}).recipe == small_config().recipe


@pytest.mark.parametrize("changes", [{"seed": 9}, {"name": "other"}, {"held_out_fold": 2}, {"batch_size": 5}])
def test_an_option_changes_the_recipe(changes: dict[str, Any]) -> None:
    assert small_config(**changes).recipe != small_config().recipe


def test_former_names_of_options_are_still_accepted() -> None:
    stage = {"name": "all", "num_epochs": 1, "learning_rate": 1e-3, "backbone": "all", "pruned_share": 0.5}
    augment, crop = {"held_frame_rate": 0.25}, {"size": 32, "movement_share": 0.9}
    config = small_config(family="cnn", stages=[stage], augment=augment, motion_crop=crop)
    assert config.architecture == "cnn"
    assert config.stages[0].pruned_fraction == 0.5
    assert config.augment.repeated_frame_probability == 0.25
    assert config.motion_crop is not None
    assert config.motion_crop.movement_fraction == 0.9


def test_a_former_name_in_a_copied_config_replaces_the_present_one(tmp_path: Path) -> None:
    path = tmp_path / "run.py"
    path.write_text(
        "from model_training.configs.fights import CONFIG\n\nCONFIG = CONFIG.model_copy(update={'family': 'cnn'})\n"
    )
    assert read_config(path).architecture == "cnn"
