"""`/docs` in a real browser, without requests to other hosts."""

from typing import TYPE_CHECKING

import pytest

from tests.support.page_visitor import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.tensorflow


def test_the_documentation_works_without_any_other_host(browser: "Browser", service_url: str) -> None:
    context = browser.new_context(base_url=service_url)
    visitor = Visitor(context.new_page(), service_url)
    page = visitor.page
    page.goto("/docs")
    live = page.locator("#operations-health-live_health_live_get")
    expect(live).to_be_visible()
    expect(page.locator(".opblock")).not_to_have_count(0)
    live.locator(".opblock-summary-control").click()
    live.get_by_role("button", name="Try it out").click()
    live.get_by_role("button", name="Execute").click()
    expect(live.locator(".live-responses-table .response .microlight").first).to_contain_text('"live"')
    assert all(request.startswith((service_url, "data:", "blob:")) for request in visitor.requests)
    # The console reports a violation of the content security policy.
    assert visitor.faults == []
    context.close()
