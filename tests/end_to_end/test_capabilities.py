"""`GET /capabilities` of a running service."""

import sys
from pathlib import Path

import pytest

from framewise.schemas.isolation import Isolation
from service.settings import Settings
from service.video.containers.container import CODECS, CONTAINERS
from tests.support.running_service import RunningService
from tests.support.videos import encode, grey

pytestmark = pytest.mark.tensorflow


def test_the_limits_are_those_of_the_settings(shared_service: RunningService) -> None:
    capabilities = shared_service.client.get("/capabilities").raise_for_status().json()
    settings = Settings(answer_cache_bytes=0, max_waiting_requests=100)
    assert capabilities["limits"]["max_upload_bytes"] == settings.max_upload_bytes
    assert all(getattr(settings, name) == value for name, value in capabilities["limits"].items())


def test_each_model_has_its_engine_device_and_batch_sizes(shared_service: RunningService) -> None:
    (model,) = shared_service.client.get("/capabilities").json()["models"]
    batch_sizes = shared_service.client.get("/models/grey").json()["batch_sizes"]
    assert model.pop("device") in ("cpu", "gpu")
    assert model == {"name": "grey", "version": "1", "engine": "tensorflow", "batch_sizes": batch_sizes}


def test_the_formats_are_allowed_and_videos_of_these_formats_are_classified(
    shared_service: RunningService, tmp_path: Path
) -> None:
    capabilities = shared_service.client.get("/capabilities").json()
    assert set(capabilities["containers"]) <= set(CONTAINERS.values())
    assert set(capabilities["codecs"]) <= CODECS
    for name, encoder, container, codec in (
        ("a.mp4", "libx264", "mp4", "h264"),
        ("b.webm", "libvpx-vp9", "matroska", "vp9"),
        ("c.mkv", "libsvtav1", "matroska", "av1"),
        ("d.avi", "mpeg4", "avi", "mpeg4"),
    ):
        assert container in capabilities["containers"]
        assert codec in capabilities["codecs"]
        video = encode(tmp_path / name, [grey(90)] * 8, codec=encoder)
        found = shared_service.post_video(video).raise_for_status().json()["video"]
        assert (found["container"], found["codec"]) == (container, codec)


def test_no_library_version_is_published(shared_service: RunningService) -> None:
    assert not {"version", "versions", "libraries"} & set(shared_service.client.get("/capabilities").json())


def test_the_isolation_of_the_decode_workers_is_published(shared_service: RunningService) -> None:
    isolation = shared_service.client.get("/capabilities").json()["isolation"]
    assert set(isolation) == set(Isolation.__dataclass_fields__)
    if sys.platform == "linux":
        assert isolation["has_memory_limit"]
        assert isolation["has_no_new_privileges"]
