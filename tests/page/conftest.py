"""Fixtures with a real Chromium; tests are skipped if it is not installed."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.page_visitor import CHROMIUM_ARGS, TIMEOUT_MS, Visitor
from tests.support.videos import painted

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Frame i of the ramp has the grey level 10 i: its pixels identify the frame that is shown.
RAMP_LEVELS = tuple(range(0, 240, 10))


# Not session-scoped: Playwright keeps an event loop running in this thread until it stops, and tests
# of other packages run their own.
@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    """One Chromium for all tests of the page."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium on this machine")
    # Long, because no expectation here is about speed, and the machine may be busy.
    api.expect.set_options(timeout=TIMEOUT_MS)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS, timeout=TIMEOUT_MS)
        yield browser
        browser.close()


@pytest.fixture
def context_options() -> dict[str, Any]:
    """Options of the visitor's browser context; tests override them by parametrisation."""
    return {}


@pytest.fixture
def visitor(browser: "Browser", service_url: str, context_options: dict[str, Any]) -> Iterator[Visitor]:
    """A visitor with the page open. At the end, the page must have no script error."""
    context = browser.new_context(base_url=service_url, **context_options)
    visitor = Visitor(context.new_page(), service_url)
    visitor.open()
    yield visitor
    assert visitor.faults == []
    context.close()


@pytest.fixture(scope="session")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of rising brightness: two overlapping clips of the grey model."""
    return painted(tmp_path_factory.mktemp("videos") / "ramp.mp4", RAMP_LEVELS)
