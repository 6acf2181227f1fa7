"""The page shows the prediction that the service returns."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.page_visitor import Visitor
from tests.support.videos import encode, grey

if TYPE_CHECKING:
    from playwright.sync_api import Browser

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.tensorflow


def test_a_chosen_video_gets_a_prediction(visitor: Visitor, dark: Path) -> None:
    visitor.choose(dark)
    expect(visitor.find(".verdict")).to_have_text("dark97 %")
    expect(visitor.find(".chip")).to_contain_text("dark.mp4")
    expect(visitor.find("#drop")).to_be_hidden()


def test_a_dropped_video_gets_a_prediction(visitor: Visitor, dark: Path) -> None:
    visitor.drop(dark)
    expect(visitor.find(".verdict strong")).to_have_text("dark")


def test_a_recording_of_the_camera_gets_a_prediction(visitor: Visitor) -> None:
    visitor.find("#record").click()
    visitor.find("#shutter:enabled").click()
    expect(visitor.find("#recorder-text")).to_have_text("Recording, 1 s")
    visitor.find("#shutter").click()
    visitor.wait_for_answer()
    expect(visitor.find(".chip")).to_contain_text("recording.")
    expect(visitor.find("#recorder")).to_be_hidden()


def test_bars_show_the_attention_of_the_response(visitor: Visitor, ramp: Path) -> None:
    answer = visitor.ask_service(ramp)
    visitor.choose(ramp)
    visitor.wait_for_answer()
    most: dict[int, dict[str, float]] = {}
    for frame in answer["frames"]:
        if frame["attention"] > most.get(frame["index"], {"attention": -1})["attention"]:
            most[frame["index"]] = frame
    bars = visitor.bars()
    assert [(bar["index"], bar["time"], bar["attention"], bar["clip"]) for bar in bars] == [
        (index, frame["time_seconds"], frame["attention"], frame["clip"]) for index, frame in sorted(most.items())
    ]


def test_bars_are_placed_by_time_and_sized_by_attention(visitor: Visitor, ramp: Path) -> None:
    seconds = visitor.ask_service(ramp)["video"]["duration_seconds"]
    visitor.choose(ramp)
    visitor.wait_for_answer()
    bars = visitor.bars()
    peak = max(bar["attention"] for bar in bars)
    for bar in bars:
        assert bar["left"] == pytest.approx(bar["time"] / seconds * bar["trackWidth"], abs=0.5)
        assert bar["height"] == pytest.approx(max(bar["attention"] / peak * bar["trackHeight"], 2), abs=0.5)


def test_clips_show_label_probability_and_the_colour_of_their_label(visitor: Visitor, ramp: Path) -> None:
    visitor.choose(ramp)
    visitor.wait_for_answer()
    expect(visitor.find(".clip")).to_have_text(["dark 69 %", "bright 63 %"])
    colours = visitor.find(".clip").evaluate_all("(clips) => clips.map((clip) => clip.dataset.colour)")
    # 0 is the colour of the predicted label, `dark`.
    assert colours == ["0", "1"]


def test_an_abstention_is_shown_as_not_sure(visitor: Visitor, ramp: Path) -> None:
    visitor.choose(ramp)
    expect(visitor.find(".verdict")).to_have_text("Not sure")
    expect(visitor.find(".guess")).to_have_text(
        "The most probable label is dark, with 53 %, below its threshold of 60 %."
    )
    expect(visitor.find(".threshold-note")).to_contain_text("Below 60 %")
    expect(visitor.find(".chip")).to_contain_text("not sure")


def test_thumbnails_show_the_frames_with_the_highest_attention(visitor: Visitor, ramp: Path) -> None:
    answer = visitor.ask_service(ramp)
    brightest = max(answer["frames"], key=lambda frame: frame["time_seconds"])
    visitor.choose(ramp)
    last = visitor.find(".thumbnails li:last-child canvas[data-drawn]")
    last.wait_for()
    expect(visitor.find(".thumbnails li:last-child")).to_contain_text(f"{brightest['time_seconds'] + 1e-9:.2f} s")
    level = visitor.grey_level(".thumbnails li:last-child canvas")
    assert level == pytest.approx(10 * brightest["index"], abs=4)


def test_a_truncated_video_gets_a_warning(visitor: Visitor, tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.mkv", [grey(9)] * 80, options={"g": "1"}).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) // 2])
    visitor.choose(cut)
    expect(visitor.find(".warning").first).to_have_text(
        "The video is shorter than its file states: it was probably cut off."
    )


def test_an_unsupported_file_gets_an_explanation(visitor: Visitor, not_a_video: Path) -> None:
    visitor.choose(not_a_video)
    expect(visitor.find("#trouble h3")).to_have_text("This is not a supported video")
    expect(visitor.find("#trouble")).to_contain_text("MP4, WebM, MKV, AVI and MPEG files work.")
    expect(visitor.find("#trouble")).to_have_attribute("role", "alert")
    expect(visitor.find("#answer")).to_be_hidden()
    expect(visitor.find("#screen")).to_be_hidden()


def test_a_video_that_the_browser_cannot_play_gets_a_prediction(visitor: Visitor, tmp_path: Path) -> None:
    visitor.choose(encode(tmp_path / "old.avi", [grey(9)] * 16, codec="mpeg4"))
    visitor.wait_for_answer()
    expect(visitor.find("#unplayable")).to_be_visible()
    expect(visitor.find("#looked")).to_be_hidden()
    expect(visitor.find(".verdict strong")).to_have_text("dark")


def test_the_response_can_be_copied_as_json_and_the_request_as_a_command(visitor: Visitor, dark: Path) -> None:
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.choose(dark)
    visitor.wait_for_answer()
    visitor.find("[data-copy=curl]").click()
    expect(visitor.find("[data-copy=curl]")).to_have_text("Copied")
    command = shlex.split(visitor.page.evaluate("navigator.clipboard.readText()"))
    assert command == ["curl", "-F", 'video=@"dark.mp4"', f"{visitor.url}/predict?model=grey&version=1"]
    answer = json.loads(visitor.find("#json").text_content() or "")
    assert answer["frames"] == visitor.ask_service(dark)["frames"]


def test_the_model_card_is_never_inserted_as_markup(browser: "Browser", service_url: str, dark: Path) -> None:
    context = browser.new_context(base_url=service_url)
    visitor = Visitor(context.new_page(), service_url)
    card = "# Grey\n\nSays **how bright** it is.\n\n<img src=x onerror=alert(1)>\n\n- one\n- [a](javascript:alert(1))\n"

    def answer(route: object) -> None:
        is_card_request = route.request.headers["accept"] == "text/markdown"  # type: ignore[attr-defined]
        route.fulfill(body=card, content_type="text/markdown") if is_card_request else route.continue_()  # type: ignore[attr-defined]

    context.route("**/models/grey/versions/1", answer)
    visitor.open()
    visitor.choose(dark)
    expect(visitor.find("#card-text strong")).to_have_text("how bright")
    expect(visitor.find("#card-text")).to_contain_text("<img src=x onerror=alert(1)>")
    expect(visitor.find("#card-text li")).to_have_text(["one", "[a](javascript:alert(1))"])
    assert visitor.find("#card-text img, #card-text a, #card-text script").count() == 0
    assert visitor.faults == []
    context.close()


def choose_with_changed_response(visitor: Visitor, path: Path, **changes: Any) -> None:
    """Choose a video; the page gets the service's prediction with these changes."""
    answer = {**visitor.ask_service(path), **changes}
    visitor.page.context.route("**/predict?*", lambda route: route.fulfill(json=answer))
    visitor.choose(path)


def test_attention_that_does_not_explain_the_prediction_gets_a_warning_beside_its_bars(
    visitor: Visitor, dark: Path
) -> None:
    choose_with_changed_response(
        visitor, dark, warnings=[{"code": "attention_not_explanatory", "message": "Measured."}]
    )
    expect(visitor.find("#timeline .warning")).to_contain_text("attention does not explain the prediction")
    expect(visitor.find("#timeline .honesty")).to_have_count(0)
    expect(visitor.find("#answer .warning")).to_have_count(0)


def test_all_accepted_labels_of_a_multi_label_model_are_shown(visitor: Visitor, dark: Path) -> None:
    rows = [
        {"label": "running_man", "probability": 0.9, "accepted": True},
        {"label": "rain", "probability": 0.7, "accepted": True},
        {"label": "fire", "probability": 0.1, "accepted": False},
    ]
    choose_with_changed_response(visitor, dark, probabilities=rows, prediction=rows[0])
    expect(visitor.find(".verdict")).to_have_text("running man, rain")
    expect(visitor.find(".probabilities .first")).to_have_count(2)
    expect(visitor.find(".threshold-note")).to_have_text("The labels are independent: none, one or several may apply.")
    expect(visitor.find(".chip")).to_contain_text("running man, rain")


def test_a_video_unlike_the_training_videos_gets_a_warning(visitor: Visitor, dark: Path) -> None:
    choose_with_changed_response(
        visitor, dark, warnings=[{"code": "blurrier_than_training", "message": "sharpness 3.5 of 255"}]
    )
    expect(visitor.find("#answer .warning")).to_contain_text("Blurrier than nearly all training videos")
