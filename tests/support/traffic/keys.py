"""API keys for callers."""

from collections.abc import Sequence
from pathlib import Path

from service.keys.key_file import edit_keys, new_key


def create_keys(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Create a key with the scope `predict` for each name in the key file `path`; returns the keys."""
    created = {name: new_key(name, ("predict",), None) for name in names}
    with edit_keys(path) as keys:
        keys.extend(key for _, key in created.values())
    return {name: token for name, (token, _) in created.items()}
