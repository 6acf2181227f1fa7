"""Label sets and warnings of a prediction."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from framewise.schemas.prediction import Prediction, PredictQuery
from service.inference.manifest import ConformalSets, Manifest
from service.inference.model_call import ClipOutput
from service.inference.stored_model import StoredModel
from service.prediction.pipeline import ClassifiedVideo, DecodedVideo
from service.prediction.response import compose_prediction
from service.prediction.stopwatch import Stopwatch
from service.video.clip import ClipTimes, DecodeReport, VideoFacts
from service.video.quality import Appearance
from tests.support.plain_manifest import NUM_FRAMES, plain_manifest


def prediction_of(manifest: Manifest, probabilities: list[float]) -> Prediction:
    facts = VideoFacts("mp4", "h264", 64, 48, 1.0, 4.0, False, 4, 4, False)  # noqa: FBT003
    indices = np.arange(NUM_FRAMES)
    clip = ClipTimes(indices, indices / 4, np.ones(NUM_FRAMES, np.bool_), 0.0, 1.0)
    output = ClipOutput(np.array(probabilities, np.float32), np.full(NUM_FRAMES, 0.25, np.float32), 0.0, 0.0, 1)
    video = ClassifiedVideo(DecodedVideo(facts, DecodeReport(0, 4, 0, ()), [clip], 0.1, Appearance(100, 10)), [output])
    stored = StoredModel(Path(), manifest, manifest.digest, "", None)
    stopwatch = Stopwatch()
    stopwatch.mark_received()
    return compose_prediction(video, stored, PredictQuery(top_k=1), "1", stopwatch)


def test_a_label_set_contains_the_likely_labels_and_always_the_most_likely() -> None:
    sets = ConformalSets(coverage=0.9, least_probability=0.3)
    assert prediction_of(plain_manifest(conformal=sets), [0.1, 0.35, 0.55]).label_set == ["c", "b"]
    assert prediction_of(plain_manifest(conformal=sets), [0.8, 0.1, 0.1]).label_set == ["a"]
    strict = ConformalSets(coverage=0.9, least_probability=0.95)
    assert prediction_of(plain_manifest(conformal=strict), [0.4, 0.3, 0.3]).label_set == ["a"]


def test_the_prediction_of_a_model_without_label_sets_has_no_label_set() -> None:
    prediction = prediction_of(plain_manifest(), [0.8, 0.1, 0.1])
    assert prediction.label_set is None
    assert "label_set" not in TypeAdapter(Prediction).dump_python(prediction, mode="json")
    with_sets = prediction_of(
        plain_manifest(conformal=ConformalSets(coverage=0.9, least_probability=0.0)), [0.8, 0.1, 0.1]
    )
    assert TypeAdapter(Prediction).dump_python(with_sets, mode="json")["label_set"] == ["a", "b", "c"]


@pytest.mark.parametrize(("is_explanation", "codes"), [(False, ["attention_not_explanatory"]), (True, []), (None, [])])
def test_attention_that_does_not_explain_predictions_is_one_warning(
    is_explanation: bool | None,  # noqa: FBT001
    codes: list[str],
) -> None:
    prediction = prediction_of(plain_manifest(attention_is_explanation=is_explanation), [0.8, 0.1, 0.1])
    assert [warning.code for warning in prediction.warnings] == codes


def test_absent_optional_fields_do_not_change_the_digest_of_a_manifest() -> None:
    text = plain_manifest().to_json()
    assert "conformal" not in text
    assert "attention_is_explanation" not in text
    assert Manifest.model_validate_json(text) == plain_manifest()
    assert plain_manifest(attention_is_explanation=False).digest != plain_manifest().digest
