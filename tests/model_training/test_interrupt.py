"""Ctrl-C in loops that poll the flag, and in code that cannot poll."""

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


def test_ctrl_c_sets_the_flag_and_interrupts_code_that_cannot_poll() -> None:
    # In a separate process: in the process of a full test run, with its loaded libraries, the signal crashed.
    done = subprocess.run(
        [sys.executable, "-c", STORY], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True
    )
    assert done.stdout.split() == ["True", "False", "False", "True", "True", "True"]
