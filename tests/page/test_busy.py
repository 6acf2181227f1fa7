"""The page waits for a service that is starting or busy, and sends no file above its limit."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.narrow_terminal import slot_taken
from tests.support.page_visitor import Visitor
from tests.support.running_service import RunningService, running_service

if TYPE_CHECKING:
    from playwright.sync_api import Browser

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def small_service(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that is still starting, accepts one upload at a time, and only small files."""
    uploads = tmp_path_factory.mktemp("uploads")
    limits: dict[str, Any] = {"max_concurrent_uploads": 1, "max_upload_bytes": 8000, "upload_idle_timeout_seconds": 60}
    with running_service(grey_models_dir, uploads, until_ready=False, **limits) as service:
        yield service


@pytest.fixture
def visitor(browser: "Browser", small_service: RunningService) -> Iterator[Visitor]:
    """A visitor of that service's page."""
    context = browser.new_context(base_url=small_service.url)
    visitor = Visitor(context.new_page(), small_service.url)
    visitor.page.goto("/")
    yield visitor
    assert visitor.faults == []
    context.close()


def test_the_page_waits_for_a_service_that_is_starting(visitor: Visitor) -> None:
    expect(visitor.find("#state-text")).to_have_text("Loading models")
    expect(visitor.find("#state-text")).to_have_text("Ready")
    expect(visitor.find("#model option")).to_have_text(["grey 1"])


def test_a_request_to_a_busy_service_is_retried(visitor: Visitor, small_service: RunningService, ramp: Path) -> None:
    visitor.find("#chooser").wait_for()
    with slot_taken(small_service):
        visitor.choose(ramp)
        expect(visitor.find("#progress-text")).to_have_text(re.compile(r"The service is busy: trying again in \d+ s"))
    visitor.wait_for_answer()


def test_a_file_above_the_limit_is_refused_before_it_is_sent(visitor: Visitor, tmp_path: Path) -> None:
    visitor.find("#chooser").wait_for()
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(9000))
    visitor.choose(large)
    expect(visitor.find("#trouble h3")).to_have_text("The file is too large")
    expect(visitor.find("#trouble")).to_contain_text("The file has 9 kB; the service accepts up to 8 kB.")
    assert [url for url in visitor.requests if "/predict" in url] == []
