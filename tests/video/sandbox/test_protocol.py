"""Messages arrive as the worker wrote them; invalid messages are refused."""

import numpy as np
import pytest
from pydantic import ValidationError

from service.video.clip import ClipSpec, DecodeReport, VideoFacts, VideoWarning
from service.video.errors import VideoError, VideoTooLarge
from service.video.quality import Appearance
from service.video.sampling import plan_clips
from service.video.sandbox.protocol import (
    WORKER_MESSAGE,
    ClipMessage,
    ErrorMessage,
    FactsMessage,
    ReportMessage,
    encode_clip,
    encode_error,
    encode_facts,
    encode_report,
)

SPEC = ClipSpec(num_frames=4, height=8, width=8, frames_per_second=2, stride_seconds=1)
FACTS = VideoFacts(
    container="mp4",
    codec="h264",
    width=64,
    height=48,
    duration_seconds=1.25,
    frame_rate=None,
    is_variable_frame_rate=False,
    num_frames=1,
    num_frames_from_header=None,
    has_audio=True,
)


def test_facts_arrive_unchanged() -> None:
    assert WORKER_MESSAGE.validate_json(encode_facts(FACTS, 3)) == FactsMessage(facts=FACTS, num_clips=3)


def test_a_clips_times_arrive_bit_for_bit() -> None:
    (times,) = plan_clips(np.array([0, 1 / 3, 2 / 3]), 1.0, SPEC)
    message = WORKER_MESSAGE.validate_json(encode_clip(times, Appearance(100, 10)))
    assert isinstance(message, ClipMessage)
    arrived = message.times(SPEC)
    assert np.array_equal(arrived.times_seconds, times.times_seconds)
    assert np.array_equal(arrived.frame_indices, times.frame_indices)
    assert np.array_equal(arrived.valid, times.valid)


def test_a_clip_of_the_wrong_length_is_refused() -> None:
    (times,) = plan_clips(np.zeros(1), 1.0, SPEC)
    message = WORKER_MESSAGE.validate_json(encode_clip(times, Appearance(100, 10)))
    assert isinstance(message, ClipMessage)
    with pytest.raises(ValueError, match="wrong length"):
        message.times(SPEC.model_copy(update={"num_frames": 5}))


def test_a_report_arrives_unchanged() -> None:
    report = DecodeReport(90, 41, 2, (VideoWarning("damaged_video", "a “message”\nin two lines"),), is_mirrored=True)
    line = encode_report(report)
    assert line.count(b"\n") == 1
    assert WORKER_MESSAGE.validate_json(line) == ReportMessage(report=report)


# A worker never sends the subclasses of other packages.
WORKER_ERRORS = [kind for kind in VideoError.__subclasses__() if kind.__module__ == VideoError.__module__]


@pytest.mark.parametrize("kind", WORKER_ERRORS, ids=lambda kind: kind.__name__)
def test_each_error_arrives_with_its_type_and_message(kind: type[VideoError]) -> None:
    message = WORKER_MESSAGE.validate_json(encode_error(kind("why")))
    assert isinstance(message, ErrorMessage)
    error = message.to_error()
    assert type(error) is kind
    assert str(error) == "why"


def test_an_unknown_error_is_refused() -> None:
    with pytest.raises(KeyError):
        ErrorMessage(error="SystemExit", message="").to_error()


def test_unknown_fields_are_refused() -> None:
    line = encode_error(VideoTooLarge("x")).replace(b'"message"', b'"also": 1, "message"')
    with pytest.raises(ValidationError):
        WORKER_MESSAGE.validate_json(line)
