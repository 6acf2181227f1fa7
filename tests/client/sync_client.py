"""Generates the synchronous client from the asynchronous one: `python -m tests.client.sync_client`."""

import re
import subprocess
import sys
from pathlib import Path

CLIENT_DIR = Path(__file__).parents[2] / "framewise" / "client"
SYNC_CLIENT = CLIENT_DIR / "client.py"

# Applied in this order to the source.
_REPLACEMENTS = {
    r"Asynchronous client of a Framewise service\. .*": "Synchronous client of a Framewise service.\n\n"
    "Generated from `async_client.py` by `python -m tests.client.sync_client`; do not edit.",
    r"Asynchronous client of one service; it may run many requests concurrently\.": "Synchronous client of one service;"
    " threads may share it.",
    r"from framewise\.client\.threads import in_thread\n": "",
    r"await in_thread\((\w+), ": r"\1(",
    r" Runs on a\n +worker thread\.": "",
    r"\b(async|await) ": "",
    r"\basyncio\b": "time",
    r"\bAsync(Client|Iterator)\b": r"\1",
    r"\b__a(enter|exit)__\b": r"__\1__",
    r"\ba(close|read|iter_bytes|iter_raw)\b": r"\1",
    r"\bchunks_async\b": "chunks",
    # Imports stay sorted.
    r"import Iterator, Callable": "import Callable, Iterator",
}


def sync_client() -> str:
    """The source of `framewise.client.client`."""
    source = (CLIENT_DIR / "async_client.py").read_text(encoding="utf-8")
    for pattern, replacement in _REPLACEMENTS.items():
        source = re.sub(pattern, replacement, source)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(SYNC_CLIENT), "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    SYNC_CLIENT.write_text(sync_client(), encoding="utf-8")
