"""Keys without a server: what is kept of them, and what a changed file changes."""

from pathlib import Path

import pytest

from service.keys.errors import Forbidden, RateExceeded, Unauthorized
from service.keys.key_file import changing_keys, new_key, read_keys
from service.keys.key_ring import KeyRing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the keys go; nothing is there yet."""
    return tmp_path / "keys.json"


def create(path: Path, scope: str = "predict", rate: int | None = None) -> str:
    """Add a key to the file."""
    token, key = new_key("someone", (scope,), rate)  # type: ignore[arg-type]
    with changing_keys(path) as keys:
        keys.append(key)
    return token


def test_without_a_file_nobody_needs_a_key() -> None:
    assert KeyRing(None).admit(None, "admin") is None


def test_a_missing_or_spoilt_file_lets_nobody_in(path: Path) -> None:
    ring = KeyRing(path)
    with pytest.raises(Unauthorized):
        ring.admit(None, "predict")
    token = create(path)
    assert ring.admit(token, "predict") is not None
    path.write_text("{")
    with pytest.raises(Unauthorized):
        ring.admit(token, "predict")


def test_only_the_very_key_is_let_in(path: Path) -> None:
    token = create(path)
    ring = KeyRing(path)
    for wrong in ("", "_", "fw", token[:-1], token + "x", token.upper(), "fw_" + token.split("_")[1] + "_", "\udcff"):
        with pytest.raises(Unauthorized):
            ring.admit(wrong, "predict")
    assert ring.admit(token, "predict") is not None


def test_a_key_is_good_for_its_scope_only(path: Path) -> None:
    ring = KeyRing(path)
    admin = create(path, scope="admin")
    with pytest.raises(Forbidden):
        ring.admit(admin, "predict")
    assert ring.admit(admin, "admin") is not None


def test_the_file_holds_no_key_and_nobody_else_may_read_it(path: Path) -> None:
    token = create(path)
    assert token not in path.read_text()
    assert token.split("_", 2)[2] not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_a_key_has_its_burst_and_is_then_told_when_to_return(path: Path) -> None:
    token = create(path, rate=12)
    ring = KeyRing(path)
    for _ in range(2):  # Ten seconds' worth.
        ring.admit(token, "predict")
    with pytest.raises(RateExceeded) as refusal:
        ring.admit(token, "predict")
    assert refusal.value.retry_after_seconds == 5
    # Another key's rate is its own, also after the file was read anew.
    assert ring.admit(create(path, rate=12), "predict") is not None
    with pytest.raises(RateExceeded):
        ring.admit(token, "predict")


def test_no_change_is_lost_between_writers(path: Path) -> None:
    for _ in range(5):
        create(path)
    assert len({key.id for key in read_keys(path).keys}) == 5
