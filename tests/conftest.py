"""Fixtures: a real model on disk, and real services in their own processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from service.keys.key_file import edit_keys, new_key
from tests.support.grey_model import write_grey_model
from tests.support.running_service import RunningService, running_service
from tests.support.videos import painted

# What takes long on a busy machine is no fault: laws are about answers, not about time.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

LONGEST_FIRST = (
    "tests/model_training/commands",
    "tests/model_training",
    "tests/end_to_end",
    "tests/jobs",
    "tests/contracts",
)
"""Folders whose tests take longest. They start first, so that no process is left with them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest folders first, otherwise in the order of their paths."""

    def rank(item: pytest.Item) -> int:
        return next(
            (i for i, folder in enumerate(LONGEST_FIRST) if item.nodeid.startswith(f"{folder}/")), len(LONGEST_FIRST)
        )

    items.sort(key=rank)


@pytest.fixture(scope="session")
def grey_models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory that holds the grey model, `grey/1`. Do not write to it."""
    models_dir = tmp_path_factory.mktemp("models")
    write_grey_model(models_dir)
    return models_dir


@pytest.fixture(scope="session")
def shared_service(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with the grey model that tests share. No test may stop or fill it.

    Its response cache is off, so that equal requests are processed twice, and its queue is long.
    """
    uploads = tmp_path_factory.mktemp("uploads")
    service_settings: dict[str, Any] = {"engine": "tensorflow", "answer_cache_bytes": 0, "max_waiting_requests": 100}
    with running_service(grey_models_dir, uploads, **service_settings) as service:
        yield service


@pytest.fixture
def service_url(shared_service: RunningService) -> str:
    """Address of the shared service, without a trailing slash."""
    return shared_service.url


@pytest.fixture(scope="session")
def dark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of near black, which the grey model labels `dark`."""
    return painted(tmp_path_factory.mktemp("videos") / "dark.mp4", [8] * 16)


@pytest.fixture(scope="session")
def not_a_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file whose name ends in `.mp4`."""
    path = tmp_path_factory.mktemp("videos") / "notes.mp4"
    path.write_text("Milk, eggs, bread.\n" * 20)
    return path


@dataclass(frozen=True)
class KeyedService:
    """A service with API keys and jobs, and one of its keys."""

    running: RunningService
    key: str

    @property
    def url(self) -> str:
        """The address of the service."""
        return self.running.url


@pytest.fixture(scope="session")
def keyed_service(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyedService]:
    """A shared service with API keys; its page submits videos of 2.5 s, or unplayable ones of 300 bytes, as jobs."""
    place = tmp_path_factory.mktemp("keyed")
    token, key = new_key("tests", ("predict",), None)
    with edit_keys(place / "keys.json") as keys:
        keys.append(key)
    service_settings: dict[str, Any] = {
        "api_keys_file": place / "keys.json",
        "jobs_dir": place / "jobs",
        "job_from_seconds": 2.5,
        "job_from_bytes": 300,
    }
    with running_service(grey_models_dir, place, **service_settings) as running:
        yield KeyedService(running, token)
