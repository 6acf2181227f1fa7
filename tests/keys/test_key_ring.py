"""API keys without a server: the key file, authorization and rate limits."""

from pathlib import Path

import pytest

from service.keys.errors import Forbidden, RateExceeded, Unauthorized
from service.keys.key_file import edit_keys, new_key, read_keys
from service.keys.key_ring import KeyRing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the key file, which does not exist yet."""
    return tmp_path / "keys.json"


def create(path: Path, scope: str = "predict", rate: int | None = None) -> str:
    """Add a key to the file."""
    token, key = new_key("someone", (scope,), rate)  # type: ignore[arg-type]
    with edit_keys(path) as keys:
        keys.append(key)
    return token


def test_without_a_key_file_no_key_is_required() -> None:
    assert KeyRing(None).authorize(None, "admin") is None


def test_with_a_missing_or_broken_key_file_no_key_is_valid(path: Path) -> None:
    ring = KeyRing(path)
    with pytest.raises(Unauthorized):
        ring.authorize(None, "predict")
    token = create(path)
    assert ring.authorize(token, "predict") is not None
    path.write_text("{")
    with pytest.raises(Unauthorized):
        ring.authorize(token, "predict")


def test_only_the_exact_key_is_valid(path: Path) -> None:
    token = create(path)
    ring = KeyRing(path)
    for wrong in ("", "_", "fw", token[:-1], token + "x", token.upper(), "fw_" + token.split("_")[1] + "_", "\udcff"):
        with pytest.raises(Unauthorized):
            ring.authorize(wrong, "predict")
    assert ring.authorize(token, "predict") is not None


def test_a_key_is_valid_for_its_scope_only(path: Path) -> None:
    ring = KeyRing(path)
    admin = create(path, scope="admin")
    with pytest.raises(Forbidden):
        ring.authorize(admin, "predict")
    assert ring.authorize(admin, "admin") is not None


def test_the_key_file_stores_no_key_and_is_private(path: Path) -> None:
    token = create(path)
    assert token not in path.read_text()
    assert token.split("_", 2)[2] not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_after_its_burst_a_key_gets_a_retry_time(path: Path) -> None:
    token = create(path, rate=12)
    ring = KeyRing(path)
    for _ in range(2):  # Ten seconds' worth.
        ring.authorize(token, "predict")
    with pytest.raises(RateExceeded) as error:
        ring.authorize(token, "predict")
    assert error.value.retry_after_seconds == 5
    # Keys have separate limits, which survive a reload of the file.
    assert ring.authorize(create(path, rate=12), "predict") is not None
    with pytest.raises(RateExceeded):
        ring.authorize(token, "predict")


def test_every_edit_of_the_key_file_is_kept(path: Path) -> None:
    for _ in range(5):
        create(path)
    assert len({key.id for key in read_keys(path).keys}) == 5
