"""A config that cannot be used is one sentence: the file, the line, and what was probably meant; words are no knobs."""

from pathlib import Path
from typing import Any

import pytest

from model_training.config import read_config
from model_training.errors import InvalidConfig
from tests.model_training.small_config import small_config

_IMPORTS = "from model_training.config import AugmentConfig, LossConfig, TrainConfig\n\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "AugmentConfig(max_drop_frames=1)",
            "AugmentConfig.max_drop_frames: there is no such knob; did you mean 'max_d",
        ),
        ("LossConfig(\n    gamma=2)", "LossConfig.gamma: there is no such knob; did you mean 'focal_gamma'?"),
        ("AugmentConfig(qqq=1)", "AugmentConfig.qqq: there is no such knob"),
        ("AugmentConfig(hue=0.7)", "AugmentConfig.hue: Input should be less than or equal to 0.5"),
        ("AugmentConfig.model_validate({'hue': 'red'})", "AugmentConfig.hue: Input should be a valid number"),
        ("TrainConfig(augment={'erasing': 1})", "there is no such knob"),
        ("raise ValueError('one\\ntwo')", "ValueError: one two"),
        ("from nowhere import nothing", "ModuleNotFoundError"),
    ],
)
def test_a_wrong_knob_is_named_with_the_file_and_the_line(tmp_path: Path, text: str, sentence: str) -> None:
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


@pytest.mark.parametrize("name", ["description", "data_source", "command", "hardware", "expected_result", "limits"])
def test_words_for_people_can_be_mended_without_training_anew(name: str) -> None:
    assert small_config(**{name: "mended"}).recipe == small_config().recipe


@pytest.mark.parametrize("changes", [{"seed": 9}, {"name": "other"}, {"held_out_fold": 2}, {"batch_size": 5}])
def test_a_knob_makes_it_another_run(changes: dict[str, Any]) -> None:
    assert small_config(**changes).recipe != small_config().recipe
