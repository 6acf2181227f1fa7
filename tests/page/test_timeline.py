"""The timeline and the video move together, by mouse and by keyboard."""

from pathlib import Path

import pytest

from tests.support.page_visitor import Visitor

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.tensorflow


@pytest.fixture
def answered(visitor: Visitor, ramp: Path) -> Visitor:
    """A visitor who sees the prediction of the ramp."""
    visitor.choose(ramp)
    visitor.wait_for_answer()
    expect(visitor.find("#video")).to_have_js_property("readyState", 4)
    return visitor


def test_clicking_a_bar_shows_its_frame(answered: Visitor) -> None:
    bar = answered.bars()[7]
    answered.find(".bar").nth(7).click()
    expect(answered.find(".bar").nth(7)).to_have_attribute("aria-selected", "true")
    expect(answered.find("#video")).to_have_js_property("seeking", value=False)
    assert answered.grey_level("#video") == pytest.approx(10 * bar["index"], abs=4)


def test_arrow_keys_reach_every_bar_and_enter_shows_its_frame(answered: Visitor) -> None:
    bars = answered.bars()
    answered.find(".bar").first.focus()
    for _ in range(3):
        answered.page.keyboard.press("ArrowRight")
    expect(answered.find(".bar").nth(3)).to_be_focused()
    answered.page.keyboard.press("End")
    expect(answered.find(".bar").nth(len(bars) - 1)).to_be_focused()
    answered.page.keyboard.press("ArrowLeft")
    answered.page.keyboard.press("Enter")
    expect(answered.find(".bar").nth(len(bars) - 2)).to_have_attribute("aria-selected", "true")
    expect(answered.find("#video")).to_have_js_property("seeking", value=False)
    assert answered.grey_level("#video") == pytest.approx(10 * bars[-2]["index"], abs=4)


def test_tab_stops_at_one_bar_only(answered: Visitor) -> None:
    assert answered.find(".bar[tabindex='0']").count() == 1
    assert answered.find(".bar[tabindex='-1']").count() == len(answered.bars()) - 1


def test_each_bar_has_an_accessible_name_with_time_and_attention(answered: Visitor) -> None:
    bar = answered.bars()[4]
    # JavaScript rounds halves up, Python to even.
    label = f"{bar['time'] + 1e-9:.2f} s, attention {100 * bar['attention']:.1f} %"
    expect(answered.page.get_by_role("option", name=label)).to_be_visible()


def test_the_readout_describes_the_bar_under_the_pointer(answered: Visitor) -> None:
    bar = answered.bars()[5]
    answered.find(".bar").nth(5).hover()
    expect(answered.find(".readout")).to_contain_text(f"{bar['time']:.2f} s, attention")


def test_clicking_a_clip_seeks_to_its_start(answered: Visitor) -> None:
    answered.find(".clip").nth(1).click()
    assert answered.find("#video").evaluate("(video) => video.currentTime") == pytest.approx(1.0, abs=0.01)


def test_clicking_a_thumbnail_seeks_to_its_frame(answered: Visitor) -> None:
    answered.find(".thumbnail").first.click()
    seconds = float((answered.find(".thumbnail b").first.text_content() or "").removesuffix(" s"))
    assert answered.find("#video").evaluate("(video) => video.currentTime") == pytest.approx(seconds, abs=0.01)


def test_the_playhead_follows_the_video_to_its_end(answered: Visitor) -> None:
    answered.find("#video").evaluate("(video) => { video.playbackRate = 4; return video.play(); }")
    expect(answered.find("#video")).to_have_js_property("ended", value=True)
    expect(answered.find(".bar").last).to_have_attribute("aria-selected", "true")
    at = answered.find(".playhead").evaluate("(head) => Number(head.style.getPropertyValue('--at'))")
    assert at == pytest.approx(1, abs=0.02)
