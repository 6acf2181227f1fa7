"""A real Chromium and a page in it; skipped, with the reason, where there is none."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.page_visitor import CHROMIUM_ARGS, TIMEOUT_MS, Visitor
from tests.support.videos import painted

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Frame i of the ramp is of grey level 10 i: its pixels tell which frame is shown.
RAMP_LEVELS = tuple(range(0, 240, 10))


# Not of the session: Playwright keeps an event loop running in this thread until it stops, and tests
# of other packages run their own.
@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    """One Chromium for all tests of the page."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium on this machine")
    # Generous: a machine that also trains is slow, and no expectation here is about speed.
    api.expect.set_options(timeout=TIMEOUT_MS)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS, timeout=TIMEOUT_MS)
        yield browser
        browser.close()


@pytest.fixture
def context_options() -> dict[str, Any]:
    """How the visitor's browser is set up; tests override it by parametrisation."""
    return {}


@pytest.fixture
def visitor(browser: "Browser", service_url: str, context_options: dict[str, Any]) -> Iterator[Visitor]:
    """Somebody who has opened the page; afterwards nothing may have gone wrong unseen."""
    context = browser.new_context(base_url=service_url, **context_options)
    visitor = Visitor(context.new_page(), service_url)
    visitor.open()
    yield visitor
    assert visitor.faults == []
    context.close()


@pytest.fixture(scope="session")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds that grow brighter; two clips of the grey model, overlapping."""
    return painted(tmp_path_factory.mktemp("videos") / "ramp.mp4", RAMP_LEVELS)
