"""Reasons that /health shows: no path of the machine in them."""

from pathlib import Path

import pytest

from service.inference.errors import InvalidModel
from service.model_control.public_reason import MAX_REASON_CHARACTERS, public_reason
from service.video.errors import DecoderFailed

MODELS = Path("/srv/data/models")


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("/srv/data/models/fights/3: no readable manifest.json", "fights/3: no readable manifest.json"),
        (
            "no model in /srv/data/models: expected <name>/<version>/x",
            "no model in the models directory: expected <name>/<version>/x",
        ),
        ("a/1: open '/usr/lib/python3/engine.so': no", "a/1: open 'engine.so': no"),
        ("a/1: the inputs are 8/16 frames, 1/2 valid", "a/1: the inputs are 8/16 frames, 1/2 valid"),
        ("a/1: see https://errors.example/v/x", "a/1: see https://errors.example/v/x"),
    ],
)
def test_paths_are_shown_from_the_model_on(reason: str, shown: str) -> None:
    assert public_reason(InvalidModel(reason), MODELS) == shown
    assert public_reason(DecoderFailed(reason), MODELS) == shown


def test_an_unexpected_error_and_a_long_one_are_not_shown_whole() -> None:
    assert "secret" not in public_reason(RuntimeError("secret"), MODELS)
    assert len(public_reason(InvalidModel("x" * 10_000), MODELS)) == MAX_REASON_CHARACTERS
