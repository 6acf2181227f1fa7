"""Several videos are sent one after another; each shows its progress and can be cancelled."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.page_visitor import Visitor
from tests.support.videos import encode

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.tensorflow

SLOW_BYTES_PER_SECOND = 150_000


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of some hundred kilobytes."""
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(16)]
    return encode(tmp_path_factory.mktemp("videos") / "noise.mp4", pictures)


@pytest.fixture
def slow_visitor(visitor: Visitor) -> Visitor:
    """A visitor with a slow connection."""
    session = visitor.page.context.new_cdp_session(visitor.page)
    session.send("Network.enable")
    speed = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": SLOW_BYTES_PER_SECOND}
    session.send("Network.emulateNetworkConditions", speed)
    return visitor


def test_an_upload_shows_its_progress(slow_visitor: Visitor, noise: Path) -> None:
    slow_visitor.choose(noise)
    expect(slow_visitor.find("#progress-text")).to_have_text(re.compile(r"Sending [\d.]+ [kM]B, [1-9]\d? %"))
    assert 0 < slow_visitor.find("#progress-bar").evaluate("(bar) => bar.value") < 1
    expect(slow_visitor.find("#announcer")).to_have_text("noise.mp4: sending")
    slow_visitor.wait_for_answer()
    expect(slow_visitor.find("#progress")).to_be_hidden()


def test_an_upload_can_be_cancelled_and_tried_again(slow_visitor: Visitor, noise: Path) -> None:
    slow_visitor.choose(noise)
    slow_visitor.find("#cancel").click()
    expect(slow_visitor.find("#trouble h3")).to_have_text("Cancelled")
    slow_visitor.find("#trouble button").click()
    slow_visitor.wait_for_answer()


def test_each_video_of_the_queue_keeps_its_prediction(visitor: Visitor, dark: Path, ramp: Path, noise: Path) -> None:
    visitor.choose(dark, ramp, noise)
    expect(visitor.find(".chip[data-state=done]")).to_have_count(3)
    posts = [url for url in visitor.requests if "/predict" in url]
    assert len(posts) == 3
    visitor.find(".chip").nth(1).click()
    expect(visitor.find(".verdict")).to_have_text("Not sure")
    visitor.find(".chip").nth(0).click()
    expect(visitor.find(".verdict strong")).to_have_text("dark")
    expect(visitor.find(".clip")).to_have_count(1)


def test_only_one_video_is_sent_at_a_time(slow_visitor: Visitor, noise: Path, dark: Path) -> None:
    slow_visitor.choose(noise, dark)
    expect(slow_visitor.find(".chip").nth(0)).to_contain_text("sending")
    expect(slow_visitor.find(".chip").nth(1)).to_contain_text("waiting")
    expect(slow_visitor.find(".chip[data-state=done]")).to_have_count(2)


def test_an_unsupported_file_does_not_delay_the_next(visitor: Visitor, not_a_video: Path, dark: Path) -> None:
    visitor.choose(not_a_video, dark)
    expect(visitor.find(".chip").nth(0)).to_contain_text("this is not a supported video")
    expect(visitor.find(".chip").nth(1)).to_contain_text("dark 97 %")
