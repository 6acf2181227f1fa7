"""The page on phones, in dark mode, with reduced motion, by keyboard, and without other hosts."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.page_visitor import Visitor

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.tensorflow


def set_up(**options: Any) -> pytest.MarkDecorator:
    """Open the page in a browser context with these options."""
    return pytest.mark.parametrize("context_options", [options])


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_a_phone(visitor: Visitor, ramp: Path, width: int) -> None:
    visitor.page.set_viewport_size({"width": width, "height": 700})
    for _ in ("empty", "answered"):
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
        visitor.choose(ramp)
        visitor.wait_for_answer()


@set_up(color_scheme="dark")
def test_a_dark_system_gets_a_dark_page(visitor: Visitor, context_options: dict[str, Any]) -> None:
    del context_options
    assert brightness(visitor, "body", "backgroundColor") < 40
    assert brightness(visitor, "#drop-title", "color") > 200


@set_up(color_scheme="light")
def test_a_light_system_gets_a_light_page(visitor: Visitor, context_options: dict[str, Any]) -> None:
    del context_options
    assert brightness(visitor, "body", "backgroundColor") > 230


@set_up(reduced_motion="reduce")
def test_reduced_motion_stops_every_animation(visitor: Visitor, ramp: Path, context_options: dict[str, Any]) -> None:
    del context_options
    visitor.choose(ramp)
    visitor.wait_for_answer()
    assert visitor.page.evaluate("document.getAnimations().length") == 0


def test_the_page_works_by_keyboard_from_its_top(visitor: Visitor) -> None:
    reached = []
    for _ in range(5):
        visitor.page.keyboard.press("Tab")
        reached.append(visitor.page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert reached[:4] == ["skip", "model", "choose", "record"]


def test_focus_is_always_visible(visitor: Visitor) -> None:
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.press("Tab")
    assert visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_every_control_has_a_name(visitor: Visitor, ramp: Path) -> None:
    visitor.choose(ramp)
    visitor.wait_for_answer()
    for role in ("button", "option", "combobox", "link", "progressbar"):
        for control in visitor.page.get_by_role(role).all():
            name = control.evaluate(
                "(node) => node.getAttribute('aria-label') || node.labels?.[0]?.textContent || node.textContent"
            )
            assert name.strip() != ""


def test_the_page_sends_requests_to_its_own_service_only(visitor: Visitor, ramp: Path) -> None:
    visitor.choose(ramp)
    visitor.find("canvas[data-drawn]").first.wait_for()
    host = urlsplit(visitor.url).netloc
    outside = [url for url in visitor.requests if not url.startswith("blob:") and urlsplit(url).netloc != host]
    assert outside == []


def test_inline_script_is_refused_by_the_browser(visitor: Visitor) -> None:
    visitor.page.evaluate(
        "() => { const script = document.createElement('script'); script.textContent = 'window.wasRun = true';"
        "document.head.append(script); }"
    )
    assert visitor.page.evaluate("window.wasRun") is None
    assert len(visitor.faults) == 1
    assert "Content Security Policy" in visitor.faults.pop()


def brightness(visitor: Visitor, selector: str, prop: str) -> float:
    """Mean of the red, green and blue of a computed colour."""
    colour: str = visitor.find(selector).evaluate(f"(node) => getComputedStyle(node).{prop}")
    levels = [int(level) for level in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(levels) / 3
