"""Several videos, one after another; what is under way is shown, and can be taken back."""

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
def on_a_slow_line(visitor: Visitor) -> Visitor:
    """A visitor whose uploads take seconds."""
    session = visitor.page.context.new_cdp_session(visitor.page)
    session.send("Network.enable")
    speed = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": SLOW_BYTES_PER_SECOND}
    session.send("Network.emulateNetworkConditions", speed)
    return visitor


def test_the_upload_tells_how_far_it_is(on_a_slow_line: Visitor, noise: Path) -> None:
    on_a_slow_line.choose(noise)
    expect(on_a_slow_line.find("#progress-text")).to_have_text(re.compile(r"Sending [\d.]+ [kM]B, [1-9]\d? %"))
    assert 0 < on_a_slow_line.find("#progress-bar").evaluate("(bar) => bar.value") < 1
    expect(on_a_slow_line.find("#announcer")).to_have_text("noise.mp4: sending")
    on_a_slow_line.wait_for_answer()
    expect(on_a_slow_line.find("#progress")).to_be_hidden()


def test_an_upload_can_be_cancelled_and_tried_again(on_a_slow_line: Visitor, noise: Path) -> None:
    on_a_slow_line.choose(noise)
    on_a_slow_line.find("#cancel").click()
    expect(on_a_slow_line.find("#trouble h3")).to_have_text("Cancelled")
    on_a_slow_line.find("#trouble button").click()
    on_a_slow_line.wait_for_answer()


def test_videos_queue_up_and_each_keeps_its_own_answer(visitor: Visitor, dark: Path, ramp: Path, noise: Path) -> None:
    visitor.choose(dark, ramp, noise)
    expect(visitor.find(".chip[data-state=done]")).to_have_count(3)
    posts = [url for url in visitor.requests if "/predict" in url]
    assert len(posts) == 3
    visitor.find(".chip").nth(1).click()
    expect(visitor.find(".verdict")).to_have_text("Not sure enough to say")
    visitor.find(".chip").nth(0).click()
    expect(visitor.find(".verdict strong")).to_have_text("dark")
    expect(visitor.find(".clip")).to_have_count(1)


def test_only_one_video_is_sent_at_a_time(on_a_slow_line: Visitor, noise: Path, dark: Path) -> None:
    on_a_slow_line.choose(noise, dark)
    expect(on_a_slow_line.find(".chip").nth(0)).to_contain_text("sending")
    expect(on_a_slow_line.find(".chip").nth(1)).to_contain_text("waiting")
    expect(on_a_slow_line.find(".chip[data-state=done]")).to_have_count(2)


def test_one_bad_file_does_not_hold_up_the_next(visitor: Visitor, not_a_video: Path, dark: Path) -> None:
    visitor.choose(not_a_video, dark)
    expect(visitor.find(".chip").nth(0)).to_contain_text("this is not a video we can read")
    expect(visitor.find(".chip").nth(1)).to_contain_text("dark 97 %")
