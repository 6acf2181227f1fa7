"""A reloaded page has lost the visitor's files, and still shows their jobs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.conftest import KeyedService
from tests.page.test_jobs import enter_key
from tests.support.page_visitor import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.tensorflow

EVENTS = "**/jobs/*/events"


@pytest.fixture
def visitor(browser: "Browser", keyed_service: KeyedService) -> Iterator[Visitor]:
    """A visitor with a key, at a service that accepts all but short videos as jobs."""
    context = browser.new_context(base_url=keyed_service.url)
    visitor = Visitor(context.new_page(), keyed_service.url)
    visitor.page.goto("/")
    enter_key(visitor, keyed_service.key)
    yield visitor
    assert visitor.faults == []
    context.close()


def send_and_reload(visitor: Visitor, path: Path) -> str:
    """Reload the page after the upload and before the job's last event. Returns the job's id."""
    visitor.page.context.route(EVENTS, lambda _route: None)
    with visitor.page.expect_response(lambda response: response.request.method == "POST") as submission:
        visitor.choose(path)
    job_id: str = submission.value.json()["id"]
    expect(visitor.find("#progress-text")).to_contain_text("Queued: the service is working on other videos")
    visitor.page.context.unroute(EVENTS)
    reload(visitor)
    return job_id


def reload(visitor: Visitor) -> None:
    """Reload the page, as the browser's button does."""
    visitor.page.reload()
    visitor.find("#chooser").wait_for()


def num_sent(visitor: Visitor) -> int:
    """Number of uploads."""
    return len([url for url in visitor.requests if "?model=" in url])


def test_a_reloaded_page_follows_the_job_without_sending_the_video_again(visitor: Visitor, ramp: Path) -> None:
    send_and_reload(visitor, ramp)
    expect(visitor.find(".chip")).to_contain_text("ramp.mp4")
    visitor.wait_for_answer()
    expect(visitor.find(".clip")).to_have_text(["dark 69 %", "bright 63 %"])
    expect(visitor.find("#announcer")).to_have_text("ramp.mp4: not sure")
    expect(visitor.find("#lost")).to_be_visible()
    expect(visitor.find("#video")).to_be_hidden()
    expect(visitor.find("#looked")).to_be_hidden()
    # A prediction that was shown before the reload is shown again.
    reload(visitor)
    visitor.wait_for_answer()
    assert num_sent(visitor) == 1


def test_progress_is_shown_after_a_reload(visitor: Visitor, ramp: Path) -> None:
    is_over = False

    def tell(route: "Route") -> None:
        data = '{"state": "running", "attempt": 1, "progress": {"num_clips_done": 3, "num_clips": 12}}'
        body = f"id: 1-3\nevent: progress\ndata: {data}\n\n"
        route.continue_() if is_over else route.fulfill(content_type="text/event-stream", body=body)

    send_and_reload(visitor, ramp)
    visitor.page.context.route(EVENTS, tell)
    reload(visitor)
    expect(visitor.find("#progress-text")).to_have_text(re.compile("3 of 12 clips|reconnecting"))
    assert visitor.find("#progress-bar").evaluate("(bar) => bar.value") == 3 / 12
    is_over = True
    visitor.wait_for_answer()


def test_the_same_file_is_played_again_and_not_sent_again(visitor: Visitor, ramp: Path) -> None:
    send_and_reload(visitor, ramp)
    visitor.wait_for_answer()
    # By keyboard. The file dialog belongs to the browser: the test checks that the page opens it.
    visitor.page.evaluate(
        "() => { document.getElementById('files').onclick = (event) => {"
        " event.preventDefault(); document.body.dataset.isAsked = 'yes'; }; }"
    )
    visitor.find("#choose-again").focus()
    visitor.page.keyboard.press("Enter")
    expect(visitor.find("body")).to_have_attribute("data-is-asked", "yes")
    visitor.choose(ramp)
    expect(visitor.find("#video")).to_be_visible()
    expect(visitor.find("#lost")).to_be_hidden()
    visitor.find("canvas[data-drawn]").first.wait_for()
    assert visitor.page.evaluate("document.activeElement.id") == "main"
    visitor.find(".bar").nth(4).click()
    expect(visitor.find(".chip")).to_have_count(1)
    assert num_sent(visitor) == 1


def test_another_file_is_sent_as_another_video(visitor: Visitor, ramp: Path, dark: Path) -> None:
    send_and_reload(visitor, ramp)
    visitor.choose(dark)
    expect(visitor.find(".chip[data-state=done]")).to_have_count(2)
    expect(visitor.find(".verdict strong")).to_have_text("dark")
    expect(visitor.find("#lost")).to_be_hidden()
    visitor.find(".chip").nth(0).click()
    expect(visitor.find("#lost")).to_be_visible()
    assert num_sent(visitor) == 2


def test_a_job_can_be_cancelled_after_a_reload_and_its_video_sent_again(
    visitor: Visitor, keyed_service: KeyedService, ramp: Path
) -> None:
    visitor.page.context.route(EVENTS, lambda _route: None)
    with visitor.page.expect_response(lambda response: response.request.method == "POST") as submission:
        visitor.choose(ramp)
    job_id = submission.value.json()["id"]
    expect(visitor.find("#progress-text")).to_contain_text("Queued: the service is working on other videos")
    reload(visitor)
    expect(visitor.find("#progress-text")).to_have_text("Requesting the job's progress")
    with visitor.page.expect_response(lambda response: response.request.method == "DELETE"):
        visitor.find("#cancel").click()
    expect(visitor.find("#trouble h3")).to_have_text("Cancelled")
    headers = {"Authorization": f"Bearer {keyed_service.key}"}
    answer = httpx.get(f"{keyed_service.url}/jobs/{job_id}", headers=headers, timeout=60)
    assert answer.status_code == 404 or answer.json()["state"] == "cancelled"
    visitor.page.context.unroute(EVENTS)
    visitor.choose(ramp)
    visitor.wait_for_answer()
    assert num_sent(visitor) == 2


def test_an_expired_job_is_reported_once(visitor: Visitor, keyed_service: KeyedService, ramp: Path) -> None:
    job_id = send_and_reload(visitor, ramp)
    visitor.wait_for_answer()
    headers = {"Authorization": f"Bearer {keyed_service.key}"}
    httpx.delete(f"{keyed_service.url}/jobs/{job_id}", headers=headers, timeout=60).raise_for_status()
    reload(visitor)
    expect(visitor.find("#trouble h3")).to_have_text("The job has expired")
    expect(visitor.find("#trouble button")).to_have_text("Choose the video again")
    reload(visitor)
    expect(visitor.find("#drop")).to_be_visible()
    assert visitor.page.evaluate("sessionStorage.getItem('framewise-jobs')") is None


def test_forgetting_the_key_deletes_the_jobs_of_this_tab_and_other_tabs_have_none(visitor: Visitor, ramp: Path) -> None:
    send_and_reload(visitor, ramp)
    visitor.wait_for_answer()
    assert visitor.page.evaluate("localStorage.length") == 0
    other = visitor.page.context.new_page()
    other.goto("/")
    other.locator("#key-dialog").wait_for()
    assert other.evaluate("sessionStorage.length") == 0
    visitor.page.evaluate("document.getElementById('key-button').hidden = false")
    visitor.find("#key-button").click()
    visitor.find("#key-forget").click()
    assert visitor.page.evaluate("sessionStorage.length") == 0
