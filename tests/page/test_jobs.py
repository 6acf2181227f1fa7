"""Long videos are submitted as jobs, with an API key, over broken connections; the page shows their progress."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.conftest import KeyedService
from tests.support.page_visitor import Visitor
from tests.support.relay import breaking_line
from tests.support.videos import painted

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.tensorflow

SECRETS = r"fw_[0-9a-f]+_"


@pytest.fixture
def without_key(browser: "Browser", keyed_service: KeyedService) -> Iterator[Visitor]:
    """A visitor without a key, at a service that needs one."""
    context = browser.new_context(base_url=keyed_service.url)
    visitor = Visitor(context.new_page(), keyed_service.url)
    visitor.page.goto("/")
    visitor.find("#key-dialog").wait_for()
    yield visitor
    assert visitor.faults == []
    context.close()


@pytest.fixture
def with_key(without_key: Visitor, keyed_service: KeyedService) -> Visitor:
    """A visitor who has entered the key."""
    enter_key(without_key, keyed_service.key)
    return without_key


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of rising brightness: many clips."""
    return painted(tmp_path_factory.mktemp("videos") / "long.mp4", [number // 2 for number in range(480)])


def enter_key(visitor: Visitor, key: str) -> None:
    """Enter the key in the dialog."""
    visitor.find("#key").fill(key)
    visitor.page.keyboard.press("Enter")
    visitor.find("#chooser").wait_for()


def test_the_page_asks_for_a_key_and_keeps_it_in_this_tab_only(
    without_key: Visitor, keyed_service: KeyedService, dark: Path
) -> None:
    expect(without_key.find("#state-text")).to_have_text("Locked")
    without_key.find("#key").fill("fw_00000000_wrong")
    without_key.page.keyboard.press("Enter")
    expect(without_key.find("#key-text")).to_have_text("The service does not know this key.")
    enter_key(without_key, keyed_service.key)
    without_key.choose(dark)
    expect(without_key.find(".verdict strong")).to_have_text("dark")
    assert [url for url in without_key.requests if re.search(SECRETS, url)] == []
    assert without_key.page.evaluate("localStorage.length") == 0
    assert without_key.page.context.cookies() == []
    assert 'Authorization: Bearer $FRAMEWISE_API_KEY"' in (without_key.find("#curl").text_content() or "")
    # The key survives a reload; another tab needs it again.
    without_key.page.reload()
    without_key.find("#chooser").wait_for()
    other = without_key.page.context.new_page()
    other.goto("/")
    other.locator("#key-dialog").wait_for()


def test_the_page_asks_again_for_a_forgotten_key(with_key: Visitor) -> None:
    with_key.find("#key-button").click()
    with_key.find("#key-forget").click()
    expect(with_key.find("#key-dialog")).to_be_visible()
    assert with_key.page.evaluate("sessionStorage.length") == 0


def test_a_long_video_is_submitted_as_a_job(with_key: Visitor, dark: Path, ramp: Path) -> None:
    with_key.choose(dark, ramp)
    expect(with_key.find(".chip[data-state=done]")).to_have_count(2)
    posts = [url.partition("?")[0].rpartition("/")[2] for url in with_key.requests if "?model=" in url]
    assert posts == ["predict", "jobs"]
    with_key.find(".chip").nth(1).click()
    expect(with_key.find(".clip")).to_have_text(["dark 69 %", "bright 63 %"])


def test_a_job_shows_its_progress_after_a_broken_connection(
    browser: "Browser", keyed_service: KeyedService, long_video: Path
) -> None:
    with breaking_line(keyed_service.url) as line:
        context = browser.new_context(base_url=line.url)
        visitor = Visitor(context.new_page(), line.url)
        visitor.page.goto("/")
        enter_key(visitor, keyed_service.key)
        # Each progress text is recorded when it changes, because it may be replaced before the test reads it.
        visitor.page.evaluate(
            "() => { window.texts = []; new MutationObserver(() => texts.push(document.getElementById('progress-text')"
            ".textContent)).observe(document.getElementById('progress-text'), { childList: true }); }"
        )
        visitor.choose(long_video)
        visitor.wait_for_answer()
        texts = " | ".join(visitor.page.evaluate("texts"))
        assert "The connection broke: reconnecting." in texts
        assert len(line.event_requests) == 2
        assert visitor.find(".clip").count() > 10
        context.close()


def test_events_received_before_a_broken_connection_are_not_requested_again(with_key: Visitor, ramp: Path) -> None:
    asked_from: list[str | None] = []

    def end_early(route: "Route") -> None:
        asked_from.append(route.request.headers.get("last-event-id"))
        first = 'id: 1-0\nevent: running\ndata: {"state": "running", "attempt": 1, "progress": null}\n\n'
        route.fulfill(content_type="text/event-stream", body=first) if len(asked_from) == 1 else route.continue_()

    with_key.page.context.route("**/jobs/*/events", end_early)
    with_key.choose(ramp)
    with_key.wait_for_answer()
    assert asked_from == [None, "1-0"]


def test_cancelling_cancels_the_job_at_the_service(with_key: Visitor, keyed_service: KeyedService, ramp: Path) -> None:
    # The events are held back, so that the job does not end on the page before the visitor cancels.
    with_key.page.context.route("**/jobs/*/events", lambda _route: None)
    with with_key.page.expect_response(lambda response: response.request.method == "POST") as submission:
        with_key.choose(ramp)
    job_id = submission.value.json()["id"]
    with with_key.page.expect_response(lambda response: response.request.method == "DELETE"):
        with_key.find("#cancel").click()
    expect(with_key.find("#trouble h3")).to_have_text("Cancelled")
    answer = httpx.get(f"{keyed_service.url}/jobs/{job_id}", headers={"Authorization": f"Bearer {keyed_service.key}"})
    # A job that had ended is removed.
    assert answer.status_code == 404 or answer.json()["state"] == "cancelled"


def test_the_failure_of_a_job_gets_an_explanation(with_key: Visitor, not_a_video: Path) -> None:
    with_key.choose(not_a_video)
    expect(with_key.find("#trouble h3")).to_have_text("This is not a supported video")
    assert [url for url in with_key.requests if "/jobs?" in url] != []
