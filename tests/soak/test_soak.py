"""The short form of the soak test, and what its instruments find."""

import json
from pathlib import Path

import httpx
import pytest

from tests.soak.resources import Sample, growing, held_at_rest, trends
from tests.soak.soak import Soak
from tests.support.traffic.contract import Contract
from tests.support.traffic.ledger import Ledger

SECONDS = 15
MIB = 1 << 20


@pytest.mark.tensorflow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads resources under /proc")
def test_mixed_traffic_violates_nothing(grey_models_dir: Path, tmp_path: Path) -> None:
    """`python -m tests.soak --minutes 30` is the long form."""
    report = Soak(grey_models_dir, tmp_path, SECONDS, seed=0, long_seconds=20, num_flooding=2).run()
    assert report["violations"] == []
    assert report["requests"]["good"]["200"] > 0
    assert report["requests"]["flooding"]["200"] > 0
    assert report["requests"]["oversized"]["413 upload_too_large"] > 0
    assert report["jobs"]["num_accepted"] > 0
    assert report["well_behaved_seconds"]["loaded"]["num"] > 0
    json.dumps(report)


def samples(**per_second: float) -> list[Sample]:
    """A minute of samples in which the named resources grow by that much each second, and files come and go."""
    return [
        Sample(
            at_seconds=second,
            service_resident_bytes=200 * MIB + round(per_second.get("service_resident_bytes", 0) * second),
            children_resident_bytes=300 * MIB,
            num_children=4,
            num_descriptors=60 + round(per_second.get("num_descriptors", 0) * second),
            num_files=5 * (second % 2),
        )
        for second in range(60)
    ]


def test_resources_that_come_and_go_do_not_grow() -> None:
    assert growing(trends(samples())) == []


@pytest.mark.parametrize(("resource", "per_second"), [("service_resident_bytes", 2 * MIB), ("num_descriptors", 1)])
def test_a_leak_is_found(resource: str, per_second: float) -> None:
    (fact,) = growing(trends(samples(**{resource: per_second})))
    assert fact.startswith(f"{resource} grew by")


def test_what_is_not_given_back_is_found() -> None:
    before, *_, after = samples(num_descriptors=1)
    # The last sample holds files of requests in progress as well.
    assert [fact.split(" ")[0] for fact in held_at_rest(before, after)] == ["num_descriptors", "num_files"]


DOCUMENT = {
    "paths": {
        "/predict": {
            "post": {
                "responses": {
                    "200": {"description": "The prediction."},
                    "429": {"description": "`busy`: All slots are taken.", "headers": {"Retry-After": {}}},
                    "500": {"description": "`internal`: The service failed."},
                }
            }
        }
    }
}


@pytest.mark.parametrize(
    ("status", "code", "headers", "breach"),
    [
        (200, None, {}, None),
        (429, "busy", {"Retry-After": "1"}, None),
        (429, "busy", {}, "status 429 without ['retry-after']"),
        (429, "full", {"Retry-After": "1"}, "status 429 with the code 'full' is not documented"),
        (500, "internal", {}, "an internal error"),
        (418, "teapot", {}, "status 418 is not documented"),
    ],
)
def test_a_response_outside_the_openapi_document_is_found(
    status: int, code: str | None, headers: dict[str, str], breach: str | None
) -> None:
    body = {} if code is None else {"content-type": "application/problem+json"}
    response = httpx.Response(status, headers={**body, **headers}, content=json.dumps({"code": code}))
    assert Contract.of(DOCUMENT).breach("POST /predict", response) == breach


def test_the_same_violation_is_reported_once_with_its_number() -> None:
    ledger = Ledger()
    for detail in ("first", "second"):
        ledger.violate("good", "a wrong prediction", detail)
    (violation,) = ledger.violations
    assert (violation.num, violation.first_detail, ledger.num_violations) == (2, "first", 2)
