"""What Ctrl-C does where work asks whether to stop, and where it cannot ask."""

import subprocess
import sys
from pathlib import Path

STORY = """
import signal
from model_training.interrupt import immediate_interrupt, interrupt_flag

def ctrl_c_ends_it():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return True
    return False

with interrupt_flag() as is_stopping:
    with immediate_interrupt():
        print(ctrl_c_ends_it(), is_stopping())
    print(ctrl_c_ends_it(), is_stopping())
    print(ctrl_c_ends_it(), is_stopping())
"""


def test_ctrl_c_is_noted_by_who_asks_and_ends_at_once_what_cannot_ask() -> None:
    # In a process of its own: in that of a whole test run, with all that it had loaded by then, the signal was a crash.
    done = subprocess.run(
        [sys.executable, "-c", STORY], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True
    )
    assert done.stdout.split() == ["True", "False", "False", "True", "True", "True"]
