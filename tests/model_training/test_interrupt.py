"""What Ctrl-C does where work asks whether to stop, and where it cannot ask."""

import signal

import pytest

from model_training.interrupt import at_once, stop_flag


def test_ctrl_c_is_noted_by_who_asks_and_ends_at_once_what_cannot_ask() -> None:
    with stop_flag() as is_stopping:
        with pytest.raises(KeyboardInterrupt), at_once():
            signal.raise_signal(signal.SIGINT)
        assert not is_stopping()
        signal.raise_signal(signal.SIGINT)
        assert is_stopping()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
