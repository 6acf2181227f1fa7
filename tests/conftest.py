"""Fixtures that start real things: a real model on disk, a real service in its own process."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from service.keys.key_file import changing_keys, new_key
from tests.support.grey_model import write_grey_model
from tests.support.running_service import RunningService, running_service
from tests.support.videos import painted

# What takes long on a busy machine is no fault: laws are about answers, not about time.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(scope="session")
def grey_models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory that holds the grey model, `grey/1`. Do not write to it."""
    models_dir = tmp_path_factory.mktemp("models")
    write_grey_model(models_dir)
    return models_dir


@pytest.fixture(scope="session")
def shared_service(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with the grey model that every test may use, none may stop, and none may fill up.

    It keeps no answers, so that whoever asks twice sees the work done twice, and many may wait in its line.
    """
    uploads = tmp_path_factory.mktemp("uploads")
    with running_service(grey_models_dir, uploads, answer_cache_bytes=0, max_waiting_requests=100) as service:
        yield service


@pytest.fixture
def service_url(shared_service: RunningService) -> str:
    """Address of the shared service, without a trailing slash."""
    return shared_service.url


@pytest.fixture(scope="session")
def dark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of near black: `dark` beyond doubt."""
    return painted(tmp_path_factory.mktemp("videos") / "dark.mp4", [8] * 16)


@pytest.fixture(scope="session")
def not_a_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text that calls itself a video."""
    path = tmp_path_factory.mktemp("videos") / "notes.mp4"
    path.write_text("Milk, eggs, bread.\n" * 20)
    return path


@dataclass(frozen=True)
class KeyedService:
    """A service that asks for a key and takes jobs, and a key of it."""

    running: RunningService
    key: str

    @property
    def url(self) -> str:
        """Its address."""
        return self.running.url


@pytest.fixture(scope="session")
def keyed_service(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyedService]:
    """A service that every test may use: behind a key, with jobs for videos from 2.5 s or, unplayable, 300 bytes."""
    place = tmp_path_factory.mktemp("keyed")
    token, key = new_key("tests", ("predict",), None)
    with changing_keys(place / "keys.json") as keys:
        keys.append(key)
    settings = {
        "api_keys_file": place / "keys.json",
        "jobs_dir": place / "jobs",
        "job_from_seconds": 2.5,
        "job_from_bytes": 300,
    }
    with running_service(grey_models_dir, place, **settings) as running:
        yield KeyedService(running, token)
