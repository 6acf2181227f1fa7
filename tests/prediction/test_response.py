"""What an answer says beyond what was seen: label sets, and what attention is not."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from framewise.schemas.prediction import Prediction, PredictQuery
from service.inference.manifest import ConformalSets, Manifest
from service.inference.model_call import ClipOutput
from service.inference.stored_model import StoredModel
from service.prediction.pipeline import ClassifiedVideo, DecodedVideo
from service.prediction.response import Stopwatch, compose_prediction
from service.video.clip import ClipTimes, DecodeReport, VideoFacts
from service.video.quality import Appearance
from tests.support.plain_manifest import NUM_FRAMES, plain_manifest


def _answered(manifest: Manifest, probabilities: list[float]) -> Prediction:
    facts = VideoFacts("mp4", "h264", 64, 48, 1.0, 4.0, False, 4, 4, False)  # noqa: FBT003
    places = np.arange(NUM_FRAMES)
    clip = ClipTimes(places, places / 4, np.ones(NUM_FRAMES, np.bool_), 0.0, 1.0)
    answer = ClipOutput(np.array(probabilities, np.float32), np.full(NUM_FRAMES, 0.25, np.float32), 0.0, 0.0, 1)
    video = ClassifiedVideo(DecodedVideo(facts, DecodeReport(0, 4, 0, ()), [clip], 0.1, Appearance(100, 10)), [answer])
    stored = StoredModel(Path(), manifest, manifest.digest, "", None)
    stopwatch = Stopwatch()
    stopwatch.received()
    return compose_prediction(video, stored, PredictQuery(top_k=1), "1", stopwatch)


def test_a_label_set_holds_the_likely_labels_and_the_likeliest_in_any_case() -> None:
    sets = ConformalSets(coverage=0.9, least_probability=0.3)
    assert _answered(plain_manifest(conformal=sets), [0.1, 0.35, 0.55]).label_set == ["c", "b"]
    assert _answered(plain_manifest(conformal=sets), [0.8, 0.1, 0.1]).label_set == ["a"]
    strict = ConformalSets(coverage=0.9, least_probability=0.95)
    assert _answered(plain_manifest(conformal=strict), [0.4, 0.3, 0.3]).label_set == ["a"]


def test_a_model_without_label_sets_answers_as_it_always_did() -> None:
    prediction = _answered(plain_manifest(), [0.8, 0.1, 0.1])
    assert prediction.label_set is None
    assert "label_set" not in TypeAdapter(Prediction).dump_python(prediction, mode="json")
    with_sets = _answered(plain_manifest(conformal=ConformalSets(coverage=0.9, least_probability=0.0)), [0.8, 0.1, 0.1])
    assert TypeAdapter(Prediction).dump_python(with_sets, mode="json")["label_set"] == ["a", "b", "c"]


@pytest.mark.parametrize(("is_explanation", "codes"), [(False, ["attention_not_explanatory"]), (True, []), (None, [])])
def test_attention_that_does_not_explain_is_said_once(is_explanation: bool | None, codes: list[str]) -> None:  # noqa: FBT001
    prediction = _answered(plain_manifest(attention_is_explanation=is_explanation), [0.8, 0.1, 0.1])
    assert [warning.code for warning in prediction.warnings] == codes


def test_fields_that_are_not_there_do_not_change_a_manifest() -> None:
    text = plain_manifest().to_json()
    assert "conformal" not in text
    assert "attention_is_explanation" not in text
    assert Manifest.model_validate_json(text) == plain_manifest()
    assert plain_manifest(attention_is_explanation=False).digest != plain_manifest().digest
