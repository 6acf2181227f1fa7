"""Measurements that go into a manifest."""

from model_training.evaluation.assessment import manifest_with_measurements
from service.inference.manifest import Manifest
from tests.support.plain_manifest import plain_manifest

MEASURED = {
    *("metrics", "abstention_threshold", "label_thresholds", "conformal"),
    *("picture_envelope", "attention_is_explanation"),
}


def test_measurements_replace_the_measured_fields_of_a_manifest_and_keep_all_others() -> None:
    manifest = plain_manifest(
        combine="max", temperature=2.0, abstention_threshold=0.3, head="softmax", num_frames_per_step=2
    )
    measured = manifest_with_measurements(manifest, metrics={"validation": {}}, attention_is_explanation=True)
    kept = set(Manifest.model_fields) - MEASURED
    assert measured.model_dump(include=kept) == manifest.model_dump(include=kept)
    assert measured.metrics == {"validation": {}}
    assert measured.attention_is_explanation is True
    assert measured.abstention_threshold == 0


def test_measurements_replace_the_digests_only_if_digests_are_given() -> None:
    manifest, digests = plain_manifest(), {"golden/1.mp4": "1"}
    assert manifest_with_measurements(manifest, metrics={}).files == manifest.files
    assert manifest_with_measurements(manifest, metrics={}, files=digests).files == digests
