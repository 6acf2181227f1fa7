"""Long videos go as jobs, behind a key, and over a line that breaks; the page tells how far they are."""

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
def locked_out(browser: "Browser", keyed_service: KeyedService) -> Iterator[Visitor]:
    """Somebody who has opened the page of a service that asks for a key."""
    context = browser.new_context(base_url=keyed_service.url)
    visitor = Visitor(context.new_page(), keyed_service.url)
    visitor.page.goto("/")
    visitor.find("#key-dialog").wait_for()
    yield visitor
    assert visitor.faults == []
    context.close()


@pytest.fixture
def let_in(locked_out: Visitor, keyed_service: KeyedService) -> Visitor:
    """Somebody who has entered their key there."""
    enter_key(locked_out, keyed_service.key)
    return locked_out


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute that grows brighter: many clips."""
    return painted(tmp_path_factory.mktemp("videos") / "long.mp4", [number // 2 for number in range(480)])


def enter_key(visitor: Visitor, key: str) -> None:
    """Type the key, as one who knows it would."""
    visitor.find("#key").fill(key)
    visitor.page.keyboard.press("Enter")
    visitor.find("#chooser").wait_for()


def test_a_key_is_asked_for_and_kept_in_this_tab_alone(
    locked_out: Visitor, keyed_service: KeyedService, dark: Path
) -> None:
    expect(locked_out.find("#state-text")).to_have_text("Locked")
    locked_out.find("#key").fill("fw_00000000_wrong")
    locked_out.page.keyboard.press("Enter")
    expect(locked_out.find("#key-text")).to_have_text("The service does not know that key.")
    enter_key(locked_out, keyed_service.key)
    locked_out.choose(dark)
    expect(locked_out.find(".verdict strong")).to_have_text("dark")
    assert [url for url in locked_out.requests if re.search(SECRETS, url)] == []
    assert locked_out.page.evaluate("localStorage.length") == 0
    assert locked_out.page.context.cookies() == []
    assert 'Authorization: Bearer $FRAMEWISE_API_KEY"' in (locked_out.find("#curl").text_content() or "")
    # Reloading the tab keeps it, another tab has to be told.
    locked_out.page.reload()
    locked_out.find("#chooser").wait_for()
    other = locked_out.page.context.new_page()
    other.goto("/")
    other.locator("#key-dialog").wait_for()


def test_a_key_that_is_forgotten_is_asked_for_again(let_in: Visitor) -> None:
    let_in.find("#key-button").click()
    let_in.find("#key-forget").click()
    expect(let_in.find("#key-dialog")).to_be_visible()
    assert let_in.page.evaluate("sessionStorage.length") == 0


def test_a_short_video_is_answered_at_once_and_a_long_one_as_a_job(let_in: Visitor, dark: Path, ramp: Path) -> None:
    let_in.choose(dark, ramp)
    expect(let_in.find(".chip[data-state=done]")).to_have_count(2)
    posts = [url.partition("?")[0].rpartition("/")[2] for url in let_in.requests if "?model=" in url]
    assert posts == ["predict", "jobs"]
    let_in.find(".chip").nth(1).click()
    expect(let_in.find(".clip")).to_have_text(["dark 69 %", "bright 63 %"])


def test_a_job_tells_how_far_it_is_and_outlasts_its_connection(
    browser: "Browser", keyed_service: KeyedService, long_video: Path
) -> None:
    with breaking_line(keyed_service.url) as line:
        context = browser.new_context(base_url=line.url)
        visitor = Visitor(context.new_page(), line.url)
        visitor.page.goto("/")
        enter_key(visitor, keyed_service.key)
        # What the visitor is told on the way is written down as it changes: it may be gone when we look.
        visitor.page.evaluate(
            "() => { window.told = []; new MutationObserver(() => told.push(document.getElementById('progress-text')"
            ".textContent)).observe(document.getElementById('progress-text'), { childList: true }); }"
        )
        visitor.choose(long_video)
        visitor.wait_for_answer()
        told = " | ".join(visitor.page.evaluate("told"))
        assert "The connection broke: reconnecting." in told
        assert len(line.event_requests) == 2
        assert visitor.find(".clip").count() > 10
        context.close()


def test_what_was_heard_before_a_break_is_not_asked_for_again(let_in: Visitor, ramp: Path) -> None:
    asked_from: list[str | None] = []

    def end_early(route: "Route") -> None:
        asked_from.append(route.request.headers.get("last-event-id"))
        first = 'id: 1-0\nevent: running\ndata: {"state": "running", "attempt": 1, "progress": null}\n\n'
        route.fulfill(content_type="text/event-stream", body=first) if len(asked_from) == 1 else route.continue_()

    let_in.page.context.route("**/jobs/*/events", end_early)
    let_in.choose(ramp)
    let_in.wait_for_answer()
    assert asked_from == [None, "1-0"]


def test_cancelling_ends_the_job_at_the_service_too(let_in: Visitor, keyed_service: KeyedService, ramp: Path) -> None:
    # The events are held back, so that the job has not ended for the page when the visitor has enough of it.
    let_in.page.context.route("**/jobs/*/events", lambda _route: None)
    with let_in.page.expect_response(lambda response: response.request.method == "POST") as submission:
        let_in.choose(ramp)
    job_id = submission.value.json()["id"]
    with let_in.page.expect_response(lambda response: response.request.method == "DELETE"):
        let_in.find("#cancel").click()
    expect(let_in.find("#trouble h3")).to_have_text("Cancelled")
    answer = httpx.get(f"{keyed_service.url}/jobs/{job_id}", headers={"Authorization": f"Bearer {keyed_service.key}"})
    # One that had ended meanwhile is removed.
    assert answer.status_code == 404 or answer.json()["state"] == "cancelled"


def test_a_large_file_that_does_not_play_goes_as_a_job_whose_failure_is_explained(
    let_in: Visitor, not_a_video: Path
) -> None:
    let_in.choose(not_a_video)
    expect(let_in.find("#trouble h3")).to_have_text("This is not a video we can read")
    assert [url for url in let_in.requests if "/jobs?" in url] != []
